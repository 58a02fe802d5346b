package backup

import (
	"errors"
	"fmt"
	"io"
	"reflect"
	"sync"
	"unsafe"

	badger "github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/skl"
	"github.com/dgraph-io/badger/v4/table"
	"github.com/dgraph-io/badger/v4/y"

	"github.com/brockdb/brock/backup/fault"
)

// Badger's iterator has no error: a table block that cannot be read ends the
// iteration of that table silently, and the rest of its records would be
// missing from the backup. The error does exist, in the table's own iterator,
// so iteratorErr looks for it there when a range has been scanned. In the same
// way Item hides the bits that tell a merge operand and a value in the value
// log. Both are read by reflection, which checkBadger first holds against the
// Badger this program is built with: an unknown layout refuses to back up.

var (
	mergeIterator  = reflect.TypeFor[*table.MergeIterator]()
	concatIterator = reflect.TypeFor[*table.ConcatIterator]()
	tableIterator  = reflect.TypeFor[*table.Iterator]()
	memIterator    = reflect.TypeFor[*skl.UniIterator]()
	errorType      = reflect.TypeFor[error]()
)

// badgerLayout is where the fields are that brock reads.
type badgerLayout struct {
	root      []int // badger.Iterator.iitr
	itemMeta  []int // badger.Item.meta
	left      []int // table.MergeIterator.left
	right     []int // table.MergeIterator.right
	nodeIter  []int // table's node.iter
	iters     []int // table.ConcatIterator.iters
	concatOpt []int // table.ConcatIterator.options
	tableOpt  []int // table.Iterator.opt
	tableErr  []int // table.Iterator.err
	table     []int // table.Iterator.t
}

// badgerFields finds the fields once; the error says what is unknown.
var badgerFields = sync.OnceValues(func() (*badgerLayout, error) {
	l := new(badgerLayout)
	var problems []error
	find := func(dst *[]int, in reflect.Type, name string, fits func(reflect.Type) bool) reflect.Type {
		f, ok := in.FieldByName(name)
		if !ok || !fits(f.Type) {
			problems = append(problems, fmt.Errorf("%v.%s is not what it was", in, name))
			return reflect.TypeFor[struct{}]()
		}
		*dst = f.Index
		return f.Type
	}
	isIterator := func(t reflect.Type) bool { return t.Kind() == reflect.Interface && tableIterator.Implements(t) }
	find(&l.root, reflect.TypeFor[badger.Iterator](), "iitr", isIterator)
	find(&l.itemMeta, reflect.TypeFor[badger.Item](), "meta", func(t reflect.Type) bool { return t.Kind() == reflect.Uint8 })
	isStruct := func(t reflect.Type) bool { return t.Kind() == reflect.Struct }
	node := find(&l.left, mergeIterator.Elem(), "left", isStruct)
	find(&l.right, mergeIterator.Elem(), "right", func(t reflect.Type) bool { return t == node })
	find(&l.nodeIter, node, "iter", isIterator)
	find(&l.iters, concatIterator.Elem(), "iters", func(t reflect.Type) bool {
		return t.Kind() == reflect.Slice && t.Elem() == tableIterator
	})
	isInt := func(t reflect.Type) bool { return t.Kind() == reflect.Int }
	find(&l.concatOpt, concatIterator.Elem(), "options", isInt)
	find(&l.tableOpt, tableIterator.Elem(), "opt", isInt)
	find(&l.tableErr, tableIterator.Elem(), "err", func(t reflect.Type) bool { return t == errorType })
	find(&l.table, tableIterator.Elem(), "t", func(t reflect.Type) bool { return t == reflect.TypeFor[*table.Table]() })
	return l, errors.Join(problems...)
})

const otherBadgerHint = "build with the Badger version that brock's go.mod names, or use a newer brock"

// checkBadger refuses a Badger whose read errors could pass unseen.
func checkBadger() (*badgerLayout, error) {
	l, err := badgerFields()
	if err != nil {
		return nil, fault.New(fault.Other, "back up with this Badger version", "its read errors could pass unseen: %w", err).
			WithHint(otherBadgerHint)
	}
	return l, nil
}

// itemMeta returns the item's hidden meta byte.
func (l *badgerLayout) meta(item *badger.Item) byte {
	return byte(reflect.ValueOf(item).Elem().FieldByIndex(l.itemMeta).Uint())
}

// rootOf returns the merged tables below an iterator, or nil for an empty
// database that was opened read-only.
func (l *badgerLayout) rootOf(it *badger.Iterator) y.Iterator {
	return *(*y.Iterator)(unsafe.Pointer(reflect.ValueOf(it).Elem().FieldByIndex(l.root).UnsafeAddr()))
}

// leaves returns the memtables and levels below an iterator, in the order that
// Badger asks them: none for an empty database that was opened read-only.
func (l *badgerLayout) leaves(it *badger.Iterator) (leaves []y.Iterator) {
	l.visit(l.rootOf(it), func(v reflect.Value) { leaves = append(leaves, v.Interface().(y.Iterator)) })
	return leaves
}

// iteratorErr returns the error that ended one of the tables below it early.
func (l *badgerLayout) iteratorErr(it *badger.Iterator) (err error) {
	l.visit(l.rootOf(it), func(v reflect.Value) {
		switch v.Type() {
		case memIterator:
		case tableIterator:
			err = errors.Join(err, l.tableError(v))
		case concatIterator:
			iters := v.Elem().FieldByIndex(l.iters)
			for i := range iters.Len() {
				if it := iters.Index(i); !it.IsNil() {
					err = errors.Join(err, l.tableError(it))
				}
			}
		default:
			err = fmt.Errorf("iterator of unknown type %v", v.Type())
		}
	})
	return err
}

// skipCache makes the tables below an iterator read past the block cache. It
// must come before the first Seek.
func (l *badgerLayout) skipCache(it *badger.Iterator) {
	l.visit(l.rootOf(it), func(v reflect.Value) {
		switch v.Type() {
		case tableIterator:
			*(*int)(unsafe.Pointer(v.Elem().FieldByIndex(l.tableOpt).UnsafeAddr())) |= table.NOCACHE
		case concatIterator:
			*(*int)(unsafe.Pointer(v.Elem().FieldByIndex(l.concatOpt).UnsafeAddr())) |= table.NOCACHE
		}
	})
}

// visit calls fn for the iterators that are merged below root.
func (l *badgerLayout) visit(root y.Iterator, fn func(reflect.Value)) {
	if root == nil {
		return
	}
	v := reflect.ValueOf(root)
	if v.Type() != mergeIterator {
		fn(v)
		return
	}
	for _, side := range [][]int{l.left, l.right} {
		node := v.Elem().FieldByIndex(side).FieldByIndex(l.nodeIter)
		l.visit(*(*y.Iterator)(unsafe.Pointer(node.UnsafeAddr())), fn)
	}
}

// isEnd reports whether err is what a table's iterator says at its end: io.EOF
// itself. A block beyond the end of a short file is an error that wraps io.EOF.
func isEnd(err error) bool {
	return err == io.EOF //nolint:errorlint // see above
}

// tableError returns what ended the iteration of a table unless it was its end.
func (l *badgerLayout) tableError(v reflect.Value) error {
	field := v.Elem().FieldByIndex(l.tableErr)
	if field.IsNil() {
		return nil
	}
	// The field is unexported, so its value can be had through its address only.
	err := *(*error)(unsafe.Pointer(field.UnsafeAddr()))
	if isEnd(err) {
		return nil
	}
	t := *(**table.Table)(unsafe.Pointer(v.Elem().FieldByIndex(l.table).UnsafeAddr()))
	return fmt.Errorf("table %s: %w", t.Filename(), err)
}

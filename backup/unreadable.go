package backup

import badger "github.com/dgraph-io/badger/v4"

// Unreadable returns the error that ended an iterator, or one of the tables
// below it, before its end; Badger reports no such error. Ask when the iterator
// is not valid any more, and before it is closed. Kind Other, when this Badger
// is unknown and the error could pass unseen.
func Unreadable(it *badger.Iterator) error {
	layout, err := checkBadger()
	if err != nil {
		return err
	}
	return layout.iteratorErr(it)
}

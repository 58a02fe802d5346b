package check

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"

	"github.com/brockdb/brock/backup/destination"
	"github.com/brockdb/brock/backup/fault"
)

// Checks returns what is checked, the most basic first. o has its defaults, or
// is used as it is.
func Checks(o Options) []Check {
	return []Check{
		{"write and read back", checkRoundTrip},
		{"a large object, in parts", func(ctx context.Context, d destination.Destination) error { return checkLarge(ctx, d, o.LargeBytes) }},
		{"visible only after its commit", checkVisibility},
		{"create if absent, one of many writers wins", func(ctx context.Context, d destination.Destination) error {
			return checkExclusive(ctx, d, o.Writers)
		}},
		{"replace as a whole", checkReplace},
		{"ranged reads", checkRanges},
		{"names: unicode, long, odd", checkNames},
		{"a folder of many objects, in order", func(ctx context.Context, d destination.Destination) error {
			return checkListing(ctx, d, o.Objects)
		}},
		{"remove, and what is missing", checkRemoval},
	}
}

func put(ctx context.Context, d destination.Destination, name string, mode destination.Mode, content []byte) error {
	w, err := d.Create(ctx, name, mode)
	if err != nil {
		return err
	}
	_, err = w.Write(content)
	if err == nil {
		err = w.Commit(ctx)
	}
	if err != nil {
		if aerr := w.Abort(); aerr != nil {
			return errors.Join(err, aerr)
		}
	}
	return err
}

func get(ctx context.Context, d destination.Destination, name string, offset, length int64) ([]byte, error) {
	r, err := d.Open(ctx, name, offset, length)
	if err != nil {
		return nil, err
	}
	content, err := io.ReadAll(r)
	return content, errors.Join(err, r.Close())
}

// pattern returns bytes that differ at every offset a storage could mix up.
func pattern(size int64) []byte {
	p := make([]byte, size)
	for i := range p {
		p[i] = byte(i*131 ^ i>>8*37 ^ i>>16)
	}
	return p
}

// broken is a promise that is not kept.
func broken(name string, cause string, args ...any) error {
	return fault.New(fault.Other, "rely on object "+name, cause, args...).WithHint("backups are not safe at this storage")
}

// wantContent reads an object and compares it.
func wantContent(ctx context.Context, d destination.Destination, name string, want []byte) error {
	got, err := get(ctx, d, name, 0, -1)
	if err != nil {
		return err
	}
	if !bytes.Equal(got, want) {
		return fault.New(fault.Corrupt, "rely on object "+name, "other bytes came back: %d, of %d written", len(got), len(want))
	}
	return nil
}

// wantAbsent checks that an object is not to be seen in any way.
func wantAbsent(ctx context.Context, d destination.Destination, name, why string) error {
	if _, err := d.Stat(ctx, name); !fault.Is(err, fault.NotFound) {
		return orBroken(err, name, "%s, and it has a size", why)
	}
	if _, err := get(ctx, d, name, 0, -1); !fault.Is(err, fault.NotFound) {
		return orBroken(err, name, "%s, and it can be read", why)
	}
	return nil
}

// orBroken returns err or, when there is none, that a promise is not kept.
func orBroken(err error, name, cause string, args ...any) error {
	if err != nil {
		return err
	}
	return broken(name, cause, args...)
}

func checkRoundTrip(ctx context.Context, d destination.Destination) error {
	for _, size := range []int64{0, 1, 100_000} {
		name := fmt.Sprintf("round/%d", size)
		if err := put(ctx, d, name, destination.Exclusive, pattern(size)); err != nil {
			return err
		}
		if err := wantContent(ctx, d, name, pattern(size)); err != nil {
			return err
		}
		info, err := d.Stat(ctx, name)
		if err != nil {
			return err
		}
		if info.Size != size || info.Modified.IsZero() {
			return broken(name, "%d bytes were written, its size is told as %d, and when as %v", size, info.Size, info.Modified)
		}
	}
	return nil
}

func checkLarge(ctx context.Context, d destination.Destination, size int64) error {
	content := pattern(size)
	if err := put(ctx, d, "large", destination.Exclusive, content); err != nil {
		return err
	}
	return wantContent(ctx, d, "large", content)
}

func checkVisibility(ctx context.Context, d destination.Destination) error {
	const name = "visible/object"
	w, err := d.Create(ctx, name, destination.Exclusive)
	if err != nil {
		return err
	}
	defer func() { _ = w.Abort() }() // once more does nothing
	if _, err := w.Write(pattern(9 << 20)); err != nil {
		return err
	}
	if err := wantAbsent(ctx, d, name, "it is not committed"); err != nil {
		return err
	}
	if err := w.Abort(); err != nil {
		return err
	}
	return wantAbsent(ctx, d, name, "it was aborted")
}

func checkExclusive(ctx context.Context, d destination.Destination, writers int) error {
	const name = "exclusive/object"
	contents, errs := make([][]byte, writers), make([]error, writers)
	var wg sync.WaitGroup
	for i := range writers {
		contents[i] = bytes.Repeat([]byte{byte('a' + i%26)}, 1000+i)
		wg.Go(func() { errs[i] = put(ctx, d, name, destination.Exclusive, contents[i]) })
	}
	wg.Wait()
	winner, winners := 0, 0
	for i, err := range errs {
		switch {
		case err == nil:
			winner = i
			winners++
		case !fault.Is(err, fault.Exists):
			return err
		}
	}
	if winners != 1 {
		return broken(name, "%d of %d writers created it at the same time", winners, writers)
	}
	return wantContent(ctx, d, name, contents[winner])
}

func checkReplace(ctx context.Context, d destination.Destination) error {
	const name = "replace/object"
	for _, size := range []int64{1000, 10, 5000} {
		if err := put(ctx, d, name, destination.Replace, pattern(size)); err != nil {
			return err
		}
		if err := wantContent(ctx, d, name, pattern(size)); err != nil {
			return err
		}
	}
	return nil
}

func checkRanges(ctx context.Context, d destination.Destination) error {
	const name, size = "ranges/object", 100_000
	content := pattern(size)
	if err := put(ctx, d, name, destination.Exclusive, content); err != nil {
		return err
	}
	for _, r := range []struct{ offset, length int64 }{{0, 1}, {1, 999}, {50_000, -1}, {size - 1, 1}, {0, size}, {size, -1}} {
		got, err := get(ctx, d, name, r.offset, r.length)
		if err != nil {
			return err
		}
		want := content[r.offset:]
		if r.length >= 0 {
			want = want[:r.length]
		}
		if !bytes.Equal(got, want) {
			return broken(name, "a read of %d bytes from offset %d brought other ones", r.length, r.offset)
		}
	}
	if _, err := get(ctx, d, name, size-10, 20); err == nil {
		return broken(name, "a read beyond its end succeeded")
	}
	return nil
}

// oddNames are names that storages stumble over.
func oddNames() []string {
	return []string{
		"names/größe/数据库/🦡", "names/with space", "names/percent%20%2F", "names/?query=1#fragment", "names/a+b&c=d;e:f,g@h",
		"names/dots.in..it", "names/…", "names/" + strings.Repeat("n", 255), "names/" + strings.Repeat("long/", 80) + "object",
	}
}

func checkNames(ctx context.Context, d destination.Destination) error {
	for i, name := range oddNames() {
		if err := put(ctx, d, name, destination.Exclusive, []byte(fmt.Sprint(i))); err != nil {
			return err
		}
	}
	for i, name := range oddNames() {
		if err := wantContent(ctx, d, name, []byte(fmt.Sprint(i))); err != nil {
			return err
		}
	}
	want := map[string]bool{}
	for _, name := range oddNames() {
		want[name] = true
	}
	err := walk(ctx, d, "names", func(info destination.Info) { delete(want, info.Name) })
	for name := range want {
		return orBroken(err, name, "it is not listed")
	}
	return err
}

func checkListing(ctx context.Context, d destination.Destination, objects int) error {
	const inParallel = 16
	want := []string{"list/a", "list/a-b", "list/a.b"} // "a" is a folder
	for i := range objects - len(want) {
		want = append(want, fmt.Sprintf("list/%06d", i*7919%1_000_003))
	}
	slices.Sort(want)
	gate := make(chan struct{}, inParallel)
	errs := make([]error, len(want))
	var wg sync.WaitGroup
	for i, name := range want {
		if name == "list/a" {
			name += "/object"
		}
		gate <- struct{}{}
		wg.Go(func() {
			errs[i] = put(ctx, d, name, destination.Exclusive, nil)
			<-gate
		})
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		return err
	}
	var got []string
	err := d.List(ctx, "list", func(info destination.Info) error {
		got = append(got, info.Name)
		return nil
	})
	if err != nil {
		return err
	}
	if !slices.Equal(got, want) {
		return broken("list", "%d objects are there, and %d are listed, or not in the order of their names", len(want), len(got))
	}
	return nil
}

func checkRemoval(ctx context.Context, d destination.Destination) error {
	const name = "remove/object"
	if err := wantAbsent(ctx, d, name, "it was never written"); err != nil {
		return err
	}
	if err := d.Remove(ctx, name); !fault.Is(err, fault.NotFound) {
		return orBroken(err, name, "it was never written, and removed")
	}
	if err := put(ctx, d, name, destination.Exclusive, []byte("x")); err != nil {
		return err
	}
	if err := d.Remove(ctx, name); err != nil {
		return err
	}
	return wantAbsent(ctx, d, name, "it was removed")
}

package destinationtest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"slices"
	"testing"

	"github.com/brockdb/brock/backup/destination"
	"github.com/brockdb/brock/backup/fault"
)

// Put commits an object, replacing what has its name.
func Put(t testing.TB, d destination.Destination, name string, content []byte) {
	t.Helper()
	if err := put(t.Context(), d, name, destination.Replace, content); err != nil {
		t.Fatal(err)
	}
}

// Get returns the content of an object.
func Get(t testing.TB, d destination.Destination, name string) []byte {
	t.Helper()
	content, err := read(t.Context(), d, name, 0, -1)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// Names returns the names of all objects below dir ("" is the root), sorted.
func Names(t testing.TB, d destination.Destination, dir string) []string {
	t.Helper()
	var names []string
	for _, info := range list(t, d, dir) {
		if info.Dir {
			names = append(names, Names(t, d, info.Name)...)
		} else {
			names = append(names, info.Name)
		}
	}
	slices.Sort(names)
	return names
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
		if abortErr := w.Abort(); abortErr != nil {
			return errors.Join(err, abortErr)
		}
	}
	return err
}

func read(ctx context.Context, d destination.Destination, name string, offset, length int64) ([]byte, error) {
	r, err := d.Open(ctx, name, offset, length)
	if err != nil {
		return nil, err
	}
	content, err := io.ReadAll(r)
	return content, errors.Join(err, r.Close())
}

func list(t testing.TB, d destination.Destination, dir string) []destination.Info {
	t.Helper()
	var infos []destination.Info
	err := d.List(t.Context(), dir, func(info destination.Info) error {
		infos = append(infos, info)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return infos
}

func create(t testing.TB, d destination.Destination, name string, mode destination.Mode) destination.Writer {
	t.Helper()
	w, err := d.Create(t.Context(), name, mode)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func write(t testing.TB, w io.Writer, p []byte) {
	t.Helper()
	if n, err := w.Write(p); err != nil || n != len(p) {
		t.Fatalf("wrote %d of %d bytes: %v", n, len(p), err)
	}
}

// pattern returns bytes that differ at every offset a test could mix up.
func pattern(size int) []byte {
	p := make([]byte, size)
	for i := range p {
		p[i] = byte(i*131 ^ i>>8*37 ^ i>>16)
	}
	return p
}

func wantKind(t testing.TB, err error, kind fault.Kind) {
	t.Helper()
	if !fault.Is(err, kind) {
		t.Errorf("got error %v (%v), want kind %v", err, fault.KindOf(err), kind)
	}
}

func wantContent(t testing.TB, d destination.Destination, name string, want []byte) {
	t.Helper()
	if got := Get(t, d, name); !bytes.Equal(got, want) {
		t.Errorf("%s has %d bytes, not the %d written", name, len(got), len(want))
	}
}

// wantAbsent checks that there is no object called name, by Stat, Open and List.
func wantAbsent(t testing.TB, d destination.Destination, name string) {
	t.Helper()
	_, err := d.Stat(t.Context(), name)
	wantKind(t, err, fault.NotFound)
	_, err = read(t.Context(), d, name, 0, -1)
	wantKind(t, err, fault.NotFound)
	if slices.Contains(Names(t, d, ""), name) {
		t.Errorf("%s is listed", name)
	}
}

func wantObjects(t testing.TB, d destination.Destination, want ...string) {
	t.Helper()
	want = slices.Clone(want)
	slices.Sort(want)
	wantEqual(t, Names(t, d, ""), want)
}

func wantEqual(t testing.TB, got, want []string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

package ee

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"

	badger "github.com/dgraph-io/badger/v4"

	"github.com/brockdb/brock/backup/fault"
)

// Badger encrypts a directory with keys of its own, which stand in the file
// KEYREGISTRY, encrypted with the key that the directory is opened with. The
// file begins with an IV of 16 bytes and the text "Hello Badger", which is
// encrypted when the directory is (key_registry.go of Badger v4.9).
const registryText = "Hello Badger"

// leastIndexCache is for the indexes of tables, which an encrypted directory
// keeps decrypted in a cache. Badger asks for one then.
const leastIndexCache = 32 << 20

// AtRest returns Badger's options with the key, so that the directory is
// encrypted. The zero Key leaves them as they are. The options hold the key and
// must not be printed.
func (k Key) AtRest(o badger.Options) badger.Options {
	if k.secret == nil {
		return o
	}
	return o.WithEncryptionKey(bytes.Clone(k.secret.material().raw)).WithIndexCacheSize(max(o.IndexCacheSize, leastIndexCache))
}

// CheckAtRest tells whether a Badger directory can be opened with the key, before
// Badger tries, which cannot tell a wrong key from one too many. A directory
// that is not yet one is good. Kinds: KeyMissing, WrongKey, Mixed (the directory
// is not encrypted).
func (k Key) CheckAtRest(dir string) error {
	op := "open database directory " + dir
	head, err := registryHead(dir)
	if err != nil || head == nil {
		return fault.Wrap(err, "%s", op)
	}
	text := head[IVSize:]
	plain := string(text) == registryText
	switch {
	case plain && k.secret == nil:
		return nil
	case plain:
		return fault.New(fault.Mixed, op, "it is not encrypted, and a key was given").
			WithHint("leave the key out; to encrypt what is in it, back it up, and restore it with --at_rest_key_file into a new directory")
	case k.secret == nil:
		return fault.New(fault.KeyMissing, op, "it is encrypted, and no key was given").
			WithHint("give the key that it was made with: --at_rest_key_file")
	}
	k.Stream([IVSize]byte(head), 0).XORKeyStream(text, text)
	if string(text) != registryText {
		return fault.New(fault.WrongKey, op, "it is encrypted with another key than %s, which was given", k.ID()).
			WithHint("give the key that it was made with: --at_rest_key_file")
	}
	return nil
}

// registryHead returns the IV and the text of a directory's registry, or nil
// when there is none, or one that Badger has to judge.
func registryHead(dir string) ([]byte, error) {
	f, err := os.Open(filepath.Join(dir, badger.KeyRegistryFileName))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close() // only read
	head := make([]byte, IVSize+len(registryText))
	if _, err := io.ReadFull(f, head); errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	return head, nil
}

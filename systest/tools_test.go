package systest

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"

	badger "github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/pb"
	"google.golang.org/protobuf/proto"
)

// TestStandardTools reads backups without brock: openssl and gunzip, Badger's
// own types and DB.Load, as docs/format.md promises.
func TestStandardTools(t *testing.T) {
	t.Parallel()
	openssl := haveOpenssl(t)
	for _, keyBytes := range []int{0, 16, 24, 32} {
		t.Run(fmt.Sprintf("key of %d bytes", keyBytes), func(t *testing.T) {
			d := newDamageable(t, keyBytes)
			db, err := badger.OpenManaged(badger.DefaultOptions("").WithInMemory(true).WithLogger(nil))
			if err != nil {
				t.Fatal(err)
			}
			defer db.Close() // in memory
			for num := range d.paths {
				frames := d.unpack(t, num+1, openssl)
				checkFrames(t, frames, num)
				if err := db.Load(bytes.NewReader(frames), 16); err != nil {
					t.Fatal(err)
				}
			}
			checkLoaded(t, db, d.models[len(d.models)-1][ref{"default", "c"}].records)
		})
	}
}

// haveOpenssl installs openssl where it is missing and may be installed.
func haveOpenssl(t *testing.T) bool {
	t.Helper()
	if _, err := exec.LookPath("openssl"); err == nil {
		return true
	}
	out, err := exec.Command("apt-get", "install", "-y", "--no-install-recommends", "openssl").CombinedOutput()
	if err != nil {
		t.Logf("openssl is missing and cannot be installed, Go's crypto/aes takes its place: %v\n%s", err, out)
	}
	return err == nil
}

// unpack runs the commands of docs/format.md on the part of a backup.
func (d *damageable) unpack(t *testing.T, num int, openssl bool) []byte {
	t.Helper()
	part := readFile(t, d.in(t, d.dir, num, ".backup"))
	if d.key == "" {
		return pipe(t, part, nil, `gunzip`)
	}
	if bytes.Contains(part, []byte("\x1f\x8b\x08\x04\x00\x00\x00\x00")) {
		t.Error("the part holds a gzip header in the clear")
	}
	key := readFile(t, d.key)
	if !openssl {
		block, err := aes.NewCipher(key)
		if err != nil {
			t.Fatal(err)
		}
		plain := make([]byte, len(part)-aes.BlockSize)
		cipher.NewCTR(block, part[:aes.BlockSize]).XORKeyStream(plain, part[aes.BlockSize:])
		return pipe(t, plain, nil, `gunzip`)
	}
	return pipe(t, part, []string{
		fmt.Sprint("BITS=", 8*len(key)), "KEY=" + hex.EncodeToString(key), "IV=" + hex.EncodeToString(part[:aes.BlockSize]),
	}, `tail -c +17 | openssl enc -d -aes-$BITS-ctr -K "$KEY" -iv "$IV" | gunzip`)
}

// pipe runs a shell command and returns what it makes of the input.
func pipe(t *testing.T, input []byte, env []string, script string) []byte {
	t.Helper()
	cmd := exec.Command("bash", "-euo", "pipefail", "-c", script)
	cmd.Env = append(os.Environ(), env...)
	cmd.Stdin = bytes.NewReader(input)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil || stderr.Len() > 0 {
		t.Fatalf("%s: %v\n%s", script, err, &stderr)
	}
	return out
}

// checkFrames parses the frames with Badger's types: the one record that was put
// before the backup is in it, and of an incremental no other record is.
func checkFrames(t *testing.T, frames []byte, put int) {
	t.Helper()
	var keys []string
	for r := bytes.NewReader(frames); r.Len() > 0; {
		var head [8]byte
		if _, err := io.ReadFull(r, head[:]); err != nil {
			t.Fatal(err)
		}
		length := binary.LittleEndian.Uint64(head[:])
		if length > uint64(r.Len()) {
			t.Fatalf("a frame says that it has %d bytes", length)
		}
		frame := make([]byte, length)
		if _, err := io.ReadFull(r, frame); err != nil {
			t.Fatal(err)
		}
		list := new(pb.KVList)
		if err := proto.Unmarshal(frame, list); err != nil || len(list.ProtoReflect().GetUnknown()) > 0 {
			t.Fatalf("%v, unknown fields %x", err, list.ProtoReflect().GetUnknown())
		}
		for _, kv := range list.Kv {
			const recordKind = 2
			if kv.Key[0] == recordKind {
				keys = append(keys, string(kv.Key[9:]))
			}
			if kv.Version == 0 || len(kv.Value) == 0 {
				t.Errorf("key %q has version %d and %d bytes", kv.Key, kv.Version, len(kv.Value))
			}
		}
	}
	if want := fmt.Sprint(put); strings.Join(keys, " ") != want {
		t.Errorf("backup %d has the records %q, want %q", put+1, keys, want)
	}
}

// checkLoaded compares the records in a database with those of a model.
func checkLoaded(t *testing.T, db *badger.DB, want records) {
	t.Helper()
	got := records{}
	txn := db.NewTransactionAt(1<<62, false)
	defer txn.Discard()
	it := txn.NewIterator(badger.IteratorOptions{Prefix: []byte{2}})
	defer it.Close()
	for it.Rewind(); it.Valid(); it.Next() {
		value, err := it.Item().ValueCopy(nil)
		if err != nil {
			t.Fatal(err)
		}
		got[string(it.Item().Key()[9:])] = string(value)
	}
	wantDump(t, "what DB.Load made", got.dump(), want.dump())
}

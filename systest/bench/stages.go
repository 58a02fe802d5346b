package main

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/sha256"
	"errors"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"runtime"

	"github.com/klauspost/compress/gzip"
	"golang.org/x/sync/errgroup"

	"github.com/brockdb/brock/backup"
	"github.com/brockdb/brock/backup/archive"
	"github.com/brockdb/brock/backup/archive/deflate"
	"github.com/brockdb/brock/backup/destination"
	"github.com/brockdb/brock/ee"
	"github.com/brockdb/brock/restore"
)

// backupStages measures the CPU time of a backup and of its parts done alone:
// scanning into chunks, deflate with CRC-32, AES-CTR and SHA-256, writing.
func backupStages(ctx context.Context, j job, m *meter) error {
	db, err := openSource(j.DB)
	if err != nil {
		return err
	}
	src, err := backup.Unmanaged(db)
	if err != nil {
		return err
	}
	whole, err := newBackup(ctx, src, j)
	if err != nil {
		return err
	}
	whole.ForceFull = true
	scan := *whole
	scan.Destination, scan.Key, scan.Level = &discard{Destination: whole.Destination}, ee.Key{}, archive.NoCompression
	m.start()
	m.result.Named = map[string]float64{}
	cost := func(name string, fn func() error) error {
		before := cpuSeconds()
		err := fn()
		m.result.Named[name] = cpuSeconds() - before
		return err
	}
	run := func(b *backup.Backup) func() error {
		return func() error {
			_, err := b.Run(ctx)
			return err
		}
	}
	err = errors.Join(run(whole)(), // warms the page cache
		cost("whole", run(whole)), cost("scan", run(&scan)))
	if err != nil {
		return err
	}
	raw, stored, err := bytesOf(j.Out)
	if err != nil {
		return err
	}
	err = errors.Join(
		// What the scan did beside scanning, for the sum to count it once.
		cost("-digests of the scan", func() error { return parallel(raw, digestChunks) }),
		cost("gzip", func() error { return parallel(raw, deflateChunks) }),
		cost("AES and SHA-256", func() error { return parallel(stored, encryptChunks) }),
		cost("write", func() error { return writeAll(j.Out+"-written", stored) }))
	m.stop()
	src.Close()
	return errors.Join(err, db.Close())
}

// bytesOf returns a newest backup's chunks, raw and as stored.
func bytesOf(dir string) (raw, stored [][]byte, err error) {
	key, err := benchKey()
	if err != nil {
		return nil, nil, err
	}
	parts, err := filepath.Glob(filepath.Join(dir, "brock.*", "*.backup"))
	if err != nil {
		return nil, nil, err
	}
	latest := filepath.Dir(parts[len(parts)-1])
	for _, p := range parts {
		if filepath.Dir(p) != latest {
			continue
		}
		data, err := os.ReadFile(p)
		if err != nil {
			return nil, nil, err
		}
		stored = append(stored, data)
		plain := bytes.Clone(data[ee.IVSize:])
		key.Stream([ee.IVSize]byte(data), 0).XORKeyStream(plain, plain)
		zip, err := gzip.NewReader(bytes.NewReader(plain))
		if err != nil {
			return nil, nil, err
		}
		text, err := io.ReadAll(zip)
		if err != nil {
			return nil, nil, err
		}
		for len(text) > 0 {
			n := min(len(text), backup.DefaultChunkBytes)
			raw = append(raw, text[:n])
			text = text[n:]
		}
	}
	return raw, stored, nil
}

func parallel(all [][]byte, fn func([][]byte) error) error {
	group := new(errgroup.Group)
	n := runtime.GOMAXPROCS(0)
	for w := range n {
		var mine [][]byte
		for i := w; i < len(all); i += n {
			mine = append(mine, all[i])
		}
		group.Go(func() error { return fn(mine) })
	}
	return group.Wait()
}

func deflateChunks(chunks [][]byte) error {
	var enc deflate.Encoder
	var out []byte
	for _, c := range chunks {
		out = enc.Append(out[:0], c)
		crc32.ChecksumIEEE(c)
	}
	return nil
}

// digestChunks does what is done to chunks that are stored as they are: the
// CRC-32 of gzip, and SHA-256.
func digestChunks(chunks [][]byte) error {
	for _, c := range chunks {
		crc32.ChecksumIEEE(c)
		sha256.Sum256(c)
	}
	return nil
}

func encryptChunks(chunks [][]byte) error {
	block, err := aes.NewCipher(make([]byte, 32))
	if err != nil {
		return err
	}
	stream := cipher.NewCTR(block, make([]byte, aes.BlockSize))
	var out []byte
	for _, c := range chunks {
		out = append(out[:0], c...)
		stream.XORKeyStream(out, out)
		sha256.Sum256(out)
	}
	return nil
}

func writeAll(dir string, objects [][]byte) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for i, data := range objects {
		f, err := os.Create(filepath.Join(dir, string(rune('a'+i%26))))
		if err != nil {
			return err
		}
		_, err = f.Write(data)
		if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
			return err
		}
	}
	return os.RemoveAll(dir)
}

// brockVerify verifies every byte of an encrypted series.
func brockVerify(ctx context.Context, j job, m *meter) error {
	key, err := benchKey()
	if err != nil {
		return err
	}
	dst, err := destination.Open(ctx, j.In, destination.Options{})
	if err != nil {
		return err
	}
	v := &restore.Verify{Source: dst, Keys: ee.NewKeyRing(key), Level: restore.Every}
	m.start()
	if _, err := v.Run(ctx); err != nil {
		return err
	}
	m.stop()
	return nil
}

// sha256Gunzip is the peer of verify: SHA-256 and gunzip of the same bytes,
// part by part on all cores, decrypted on the way.
func sha256Gunzip(_ context.Context, j job, m *meter) error {
	key, err := benchKey()
	if err != nil {
		return err
	}
	parts, err := filepath.Glob(filepath.Join(j.In, "brock.*", "*.backup"))
	if err != nil {
		return err
	}
	m.start()
	group := new(errgroup.Group)
	group.SetLimit(runtime.GOMAXPROCS(0))
	for _, p := range parts {
		group.Go(func() error {
			f, err := os.Open(p)
			if err != nil {
				return err
			}
			defer f.Close() // only read
			var iv [ee.IVSize]byte
			if _, err := io.ReadFull(f, iv[:]); err != nil {
				return err
			}
			sum := sha256.New()
			plain := cipher.StreamReader{S: key.Stream(iv, 0), R: io.TeeReader(f, sum)}
			zip, err := gzip.NewReader(plain)
			if err != nil {
				return err
			}
			_, err = io.Copy(io.Discard, zip)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	m.stop()
	return nil
}

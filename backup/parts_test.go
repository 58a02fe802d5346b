package backup_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/brockdb/brock/backup"
	"github.com/brockdb/brock/backup/archive"
	"github.com/brockdb/brock/backup/backuptest"
	"github.com/brockdb/brock/ee"
)

func TestPartBytesBoundParts(t *testing.T) {
	db := backuptest.New(t, true, nil)
	random := rand.New(rand.NewPCG(1, 2))
	const records, valueBytes = 400, 4 << 10
	for i := range records {
		db.Set(fmt.Sprintf("key %04d", i), backuptest.Entry{Value: backuptest.RandomText(random, valueBytes)})
	}
	dst := backuptest.OpenDir(t, t.TempDir())
	const partBytes, chunkBytes = 256 << 10, 32 << 10
	m := db.Backup(dst, func(b *backup.Backup) {
		b.PartBytes, b.ChunkBytes, b.Level = partBytes, chunkBytes, archive.NoCompression
	})
	list, err := backup.ReadPartList(t.Context(), dst, m, 1, ee.Key{})
	if err != nil {
		t.Fatal(err)
	}
	if len(list.Parts) < 5 {
		t.Errorf("%d parts for %d bytes", len(list.Parts), m.StoredBytes)
	}
	for _, part := range list.Parts {
		if most := int64(partBytes + 2*chunkBytes); part.StoredBytes > most {
			t.Errorf("part %s has %d bytes, more than %d", part.Name, part.StoredBytes, most)
		}
	}
	if m.Records < records {
		t.Errorf("%d records", m.Records)
	}
}

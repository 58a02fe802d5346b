package worker

import (
	"runtime"

	"github.com/brockdb/brock/backup"
	"github.com/brockdb/brock/backup/archive"
	"github.com/brockdb/brock/backup/fault"
)

// Tuning says how a backup works. The fields, their limits and their names are
// Weaviate's; a nil one leaves the alpha's own choice.
type Tuning struct {
	CPUPercentage    *int   // of the cores, 1 to 80; one core works at least
	ChunkSizeMB      *int   // about how large a stored file becomes, 2 to 512
	CompressionLevel string // of archive.ParseLevel
}

// Apply sets what t says, or refuses what is out of its limits.
func (t Tuning) Apply(b *backup.Backup) error {
	within := func(name string, value *int, least, most int) error {
		if value == nil || *value >= least && *value <= most {
			return nil
		}
		return fault.New(fault.Usage, "back up", "%s is %d; it must be from %d to %d", name, *value, least, most)
	}
	if err := within("cpuPercentage", t.CPUPercentage, 1, 80); err != nil {
		return err
	}
	if err := within("chunkSizeMB", t.ChunkSizeMB, 2, 512); err != nil {
		return err
	}
	level, err := archive.ParseLevel(t.CompressionLevel)
	if err != nil {
		return err
	}
	b.Level = level
	if t.CPUPercentage != nil {
		b.Workers = max(1, runtime.GOMAXPROCS(0)**t.CPUPercentage/100)
	}
	if t.ChunkSizeMB != nil {
		b.PartBytes = int64(*t.ChunkSizeMB) << 20
	}
	return nil
}

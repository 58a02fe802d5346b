package store

import "github.com/brockdb/brock/backup/fault"

// Badger writes its logs and tables through memory maps of sparse files: where
// the disk is full the process does not get an error, it gets a signal and
// dies, and dies again when it is restarted. So the store stops earlier, while
// there is room for what Badger still has to write: the logs of its memtables,
// their tables, and compactions, which write new tables before they remove the
// old ones.
const (
	defaultMinFreeBytes = 512 << 20 // five memtables of 64 MiB, flushed and compacted
	// What compactions may need at a time: all tables, or so much of many.
	maxCompactionBytes = 2 << 30
	// Batches that store no records (removes and drops, tasks, a backup's marker
	// and pins) may use the room down to this part of it.
	minFreeShare = 4
)

// diskSpace keeps an eye on the disk the store is on.
type diskSpace struct {
	minFree int64 // bytes; negative: never look
	free    func() (n int64, known bool, err error)
	tables  func() int64 // bytes of all tables
}

// check refuses a plan for which there is too little room.
func (d diskSpace) check(pl *plan) error {
	return d.room(pl.size, len(pl.puts)+len(pl.creates)+len(pl.loads) == 0)
}

// room is the error of what finds too little room. Small is what stores no
// records.
func (d diskSpace) room(s size, small bool) error {
	if d.minFree < 0 {
		return nil
	}
	free, known, err := d.free()
	if err != nil {
		return fault.Wrap(err, "see how much room the disk has")
	}
	if !known || free >= d.minFree+maxCompactionBytes+s.total {
		return nil
	}
	needed := d.minFree + min(d.tables(), maxCompactionBytes)
	if small {
		needed /= minFreeShare
	}
	needed += s.total
	if free < needed {
		return fault.New(fault.NoSpace, "commit batch", "the disk has %d MiB free; the store needs %d MiB to go on safely",
			free>>20, (needed+1<<20-1)>>20).WithHint("make room on the disk of the store's directory")
	}
	return nil
}

// Bytes returns the size of the store: its tables and its value log, as far as
// it is known without reading.
func (s *Store) Bytes() int64 {
	_, values := s.db.Size() // looked at once a minute
	return max(s.tableBytes()+values, 1)
}

// tableBytes returns the size of all tables.
func (s *Store) tableBytes() (sum int64) {
	for _, level := range s.db.Levels() {
		sum += level.Size
	}
	return sum
}

package store

// Size returns how many bytes the store takes on disk. Badger looks at its value
// log once a minute.
func (s *Store) Size() (tables, valueLog int64) {
	_, valueLog = s.db.Size()
	return s.tableBytes(), valueLog
}

// Package backup makes, lists and verifies backups of a Badger database.
//
// A backup reads one snapshot through one read transaction, in parallel key
// ranges, and either holds all of it or fails: there is no record that is
// skipped with a log line. It exists once its manifest is stored.
//
// Programs with a Badger of their own use it as a library:
//
//	src, err := backup.Unmanaged(db)      // before the first backup
//	defer src.Close()
//	dst, err := destination.Open(ctx, "/backups/db1", destination.Options{})
//	b := &backup.Backup{Source: src, Destination: dst}
//	m, err := b.Run(ctx)                  // a full, then incrementals
package backup

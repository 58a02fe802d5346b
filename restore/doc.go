// Package restore turns a series of backups into Badger directories.
//
// It plans first (manifests, chain, keys, part lists, objects, free disk) and
// refuses before the disk is touched. Then it merges the full and its
// incrementals in parallel key ranges, with no intermediate files, writes to
// pN.tmp, counts against the part lists, and renames to pN.
//
// As a library:
//
//	r := &restore.Restore{Source: dst, Dir: "/data/restored"}
//	res, err := r.Run(ctx)                          // makes /data/restored/p1
//	db, err := badger.Open(badger.DefaultOptions("/data/restored/p1"))
package restore

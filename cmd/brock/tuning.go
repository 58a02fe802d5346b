package main

import (
	"github.com/spf13/cobra"

	"github.com/brockdb/brock/graph/client/adminclient"
	"github.com/brockdb/brock/worker"
)

// tuningFlags say how a backup works. Zero leaves it to the alpha, or to backup
// --dir.
type tuningFlags struct {
	cpuPercentage, chunkSizeMB int
	compression                choice
}

func (f *tuningFlags) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.IntVar(&f.cpuPercentage, "cpu_percentage", 0, "`PERCENT` of the alpha's cores, from 1 to 80, that the backup may use; 0 means its --backup_workers")
	flags.IntVar(&f.chunkSizeMB, "chunk_size_mb", 0, "`MB`, from 2 to 512, after which about a stored file ends; 0 means that key ranges end them")
	var names []string
	for _, level := range adminclient.AllCompressionLevel { // the default comes first
		names = append(names, string(level))
	}
	addChoice(cmd, &f.compression, "compression_level", "how hard the backup is compressed", names...)
	completeNothing(cmd, "cpu_percentage", "chunk_size_mb")
}

// tuning is what the flags say to a backup of this process.
func (f *tuningFlags) tuning() worker.Tuning {
	return worker.Tuning{CPUPercentage: orNil(f.cpuPercentage), ChunkSizeMB: orNil(f.chunkSizeMB), CompressionLevel: f.compression.value}
}

// level is what the flag says to an alpha.
func (f *tuningFlags) level() *adminclient.CompressionLevel {
	return orNil(adminclient.CompressionLevel(f.compression.value))
}

//go:build !linux

package main

import (
	"os"
	"runtime"
	"runtime/metrics"
)

// cpuSeconds returns the Go runtime's estimate of the CPU time used so far.
func cpuSeconds() float64 {
	sample := []metrics.Sample{{Name: "/cpu/classes/user:cpu-seconds"}}
	metrics.Read(sample)
	return sample[0].Value.Float64()
}

// anonymousBytes returns what the Go runtime has from the system.
func anonymousBytes() int64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.Sys - m.HeapReleased)
}

func diskBytes(info os.FileInfo) int64 { return info.Size() }

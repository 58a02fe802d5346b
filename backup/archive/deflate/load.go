//go:build (amd64 || arm64) && !purego

package deflate

import "unsafe"

// Loads and stores without bounds checks, which would take about a fifth of the
// time. Their callers see to it that i and what follows are inside b.

func at(b []byte, i int) unsafe.Pointer { return unsafe.Add(unsafe.Pointer(unsafe.SliceData(b)), i) }

func load8(b []byte, i int) byte        { return *(*byte)(at(b, i)) }
func load32(b []byte, i int) uint32     { return *(*uint32)(at(b, i)) }
func load64(b []byte, i int) uint64     { return *(*uint64)(at(b, i)) }
func store64(b []byte, i int, v uint64) { *(*uint64)(at(b, i)) = v }

// copy16 copies 16 bytes from src[i:] to dst.
func copy16(dst, src []byte, i int) { *(*[16]byte)(at(dst, 0)) = *(*[16]byte)(at(src, i)) }

//go:build (amd64 || arm64) && !purego

// Package load has loads and stores without bounds checks, which would take about
// a fifth of the time of brock's encoder and decoder of deflate. Their callers see
// to it that index i and what follows it are inside b. Numbers are little-endian.
package load

import "unsafe"

func at(b []byte, i int) unsafe.Pointer { return unsafe.Add(unsafe.Pointer(unsafe.SliceData(b)), i) }

// Uint8 loads b[i].
func Uint8(b []byte, i int) byte { return *(*byte)(at(b, i)) }

// Uint32 loads 4 bytes.
func Uint32(b []byte, i int) uint32 { return *(*uint32)(at(b, i)) }

// Uint64 loads 8 bytes.
func Uint64(b []byte, i int) uint64 { return *(*uint64)(at(b, i)) }

// Put16 stores 2 bytes.
func Put16(b []byte, i int, v uint16) { *(*uint16)(at(b, i)) = v }

// Put64 stores 8 bytes.
func Put64(b []byte, i int, v uint64) { *(*uint64)(at(b, i)) = v }

// Copy16 copies 16 bytes from src[j:] to dst[i:], which must not overlap.
func Copy16(dst []byte, i int, src []byte, j int) {
	*(*[16]byte)(at(dst, i)) = *(*[16]byte)(at(src, j))
}

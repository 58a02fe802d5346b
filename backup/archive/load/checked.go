//go:build !(amd64 || arm64) || purego

// Package load has the loads and stores of load.go for other processors, with
// bounds checks: `go test -tags purego` runs tests with them.
package load

import "encoding/binary"

// Uint8 loads b[i].
func Uint8(b []byte, i int) byte { return b[i] }

// Uint32 loads 4 bytes.
func Uint32(b []byte, i int) uint32 { return binary.LittleEndian.Uint32(b[i:]) }

// Uint64 loads 8 bytes.
func Uint64(b []byte, i int) uint64 { return binary.LittleEndian.Uint64(b[i:]) }

// Put16 stores 2 bytes.
func Put16(b []byte, i int, v uint16) { binary.LittleEndian.PutUint16(b[i:], v) }

// Put64 stores 8 bytes.
func Put64(b []byte, i int, v uint64) { binary.LittleEndian.PutUint64(b[i:], v) }

// Copy16 copies 16 bytes from src[j:] to dst[i:], which must not overlap.
func Copy16(dst []byte, i int, src []byte, j int) { copy(dst[i:i+16], src[j:j+16]) }

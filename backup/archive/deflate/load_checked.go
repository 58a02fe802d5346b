//go:build !(amd64 || arm64) || purego

package deflate

import "encoding/binary"

// The loads and stores of load.go for other processors, with bounds checks:
// `go test -tags purego` runs the tests with them.

func load8(b []byte, i int) byte        { return b[i] }
func load32(b []byte, i int) uint32     { return binary.LittleEndian.Uint32(b[i:]) }
func load64(b []byte, i int) uint64     { return binary.LittleEndian.Uint64(b[i:]) }
func store64(b []byte, i int, v uint64) { binary.LittleEndian.PutUint64(b[i:], v) }

// copy16 copies 16 bytes from src[i:] to dst.
func copy16(dst, src []byte, i int) { copy(dst[:16], src[i:i+16]) }

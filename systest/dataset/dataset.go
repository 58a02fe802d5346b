// Package dataset makes the data that brock is measured with. Every record is
// a pure function of set, index and revision, so that two runs, or two
// machines, measure the same bytes.
//
//	a  5,000,000 records, 41-byte keys, about 100 bytes of JSON: 759 MB
//	b    500,000 records, about 2 KB of JSON:                   1049 MB
//	c    200,000 records, 4 KB of random float32 (embeddings):   830 MB
//
// Keys look like tenant-3/user/0000000000004711/9f83ab12, written in random
// order. One record in 20 has an expiry far in the future.
package dataset

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/bits"
	"strconv"
	"strings"
	"time"

	badger "github.com/dgraph-io/badger/v4"
)

// Set is one data set.
type Set struct {
	Name       string
	Records    uint64
	ValueBytes int
	seed       uint64
	value      func(s *Set, r *random, dst []byte, i uint64) []byte
}

// The three sets at full size.
var sets = map[string]Set{
	"a": {"a", 5_000_000, 100, 0xA11CE, shortJSON},
	"b": {"b", 500_000, 2048, 0xB0B, longJSON},
	"c": {"c", 200_000, 4096, 0xC0FFEE, floats},
}

// Find returns the set with that name, its number of records multiplied by
// scale.
func Find(name string, scale float64) (*Set, error) {
	s, ok := sets[name]
	if !ok || scale <= 0 {
		return nil, fmt.Errorf("no data set %q at scale %v", name, scale)
	}
	s.Records = max(1, uint64(float64(s.Records)*scale))
	return &s, nil
}

// Entry returns record i at a revision; 0 is the first.
func (s *Set) Entry(i, revision uint64) *badger.Entry {
	r := random{s.seed + i*0x2545F4914F6CDD1D + revision*0xD1342543DE82EF95}
	e := badger.NewEntry(s.Key(nil, i), s.value(s, &r, nil, i)).WithMeta(byte(i % 7))
	if i%20 == 0 {
		e.ExpiresAt = uint64(time.Date(2040, 1, 1, 0, 0, 0, 0, time.UTC).Unix())
	}
	return e
}

// Key appends the key of record i.
func (s *Set) Key(dst []byte, i uint64) []byte {
	r := random{s.seed ^ (i * 0x9E3779B1)}
	return fmt.Appendf(dst, "tenant-%d/user/%016d/%08x", i%8, i, uint32(r.next())|0x10000000)
}

// Shuffled returns the i-th record to write: a permutation of all records.
func (s *Set) Shuffled(i uint64) uint64 {
	const prime = 2654435761
	hi, lo := bits.Mul64(i, prime)
	_, rem := bits.Div64(hi%s.Records, lo, s.Records)
	return rem
}

// random is splitmix64 (Steele, Lea, Flood 2014).
type random struct{ state uint64 }

func (r *random) next() uint64 {
	r.state += 0x9E3779B97F4A7C15
	z := r.state
	z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9
	z = (z ^ (z >> 27)) * 0x94D049BB133111EB
	return z ^ (z >> 31)
}

func (r *random) below(n uint64) uint64 {
	hi, _ := bits.Mul64(r.next(), n)
	return hi
}

// vocabulary is 3,000 made-up words of two to four syllables.
var vocabulary = func() []string {
	const consonants, vowels = "bcdfghjklmnpqrstvwz", "aeiou"
	r := random{42}
	words := make([]string, 3000)
	for i := range words {
		var b strings.Builder
		for range 2 + r.below(3) {
			b.WriteByte(consonants[r.below(uint64(len(consonants)))])
			b.WriteByte(vowels[r.below(uint64(len(vowels)))])
		}
		words[i] = b.String()
	}
	return words
}()

// word draws with a Zipf-like frequency.
func (r *random) word() string {
	f := float64(r.next()>>11) / (1 << 53)
	return vocabulary[int(math.Pow(float64(len(vocabulary)), f))-1]
}

func shortJSON(_ *Set, r *random, dst []byte, i uint64) []byte {
	return fmt.Appendf(dst, `{"id":%d,"name":"%s %s","ts":17%d,"score":0.%d,"ok":%v,"tag":"%s"}`,
		i, r.word(), r.word(), 10000000+r.below(60000000), r.below(100000000), r.next()&1 == 0, r.word())
}

func longJSON(s *Set, r *random, dst []byte, i uint64) []byte {
	dst = fmt.Appendf(dst, `{"id":%d`, i)
	for len(dst) < s.ValueBytes-24 {
		dst = append(dst, `,"`...)
		dst = append(dst, r.word()...)
		dst = append(dst, `":`...)
		switch r.below(4) {
		case 0:
			dst = strconv.AppendUint(dst, r.below(1<<30), 10)
		case 1:
			dst = append(strconv.AppendUint(append(dst, '"'), r.next(), 16), '"')
		default:
			dst = append(dst, '"')
			for range 2 + r.below(8) {
				dst = append(append(dst, r.word()...), ' ')
			}
			dst = append(dst, '"')
		}
	}
	return append(dst, '}')
}

func floats(s *Set, r *random, dst []byte, _ uint64) []byte {
	for len(dst) < s.ValueBytes {
		f := float32(int32(uint32(r.next()))) / (1 << 31)
		dst = binary.LittleEndian.AppendUint32(dst, math.Float32bits(f))
	}
	return dst
}

package archive

import (
	"strings"

	"github.com/brockdb/brock/backup/fault"
)

// Level says how hard a backup compresses.
type Level uint8

// The levels, by Weaviate's names. The default and BestSpeed are deflate of
// brock's own, BestCompression is level 7 of klauspost's, at four times the CPU
// for a tenth less. docs/performance.md has the measurements behind the choice.
const (
	DefaultCompression Level = iota
	BestSpeed
	BestCompression
	NoCompression
)

var levelNames = [...]string{"DefaultCompression", "BestSpeed", "BestCompression", "NoCompression"}

// String returns the level's name.
func (l Level) String() string { return levelNames[l] }

// ParseLevel returns the level of that name, in any case; "" is the default.
func ParseLevel(name string) (Level, error) {
	if name == "" {
		return DefaultCompression, nil
	}
	for i, n := range levelNames {
		if strings.EqualFold(n, name) {
			return Level(i), nil
		}
	}
	return 0, fault.New(fault.Usage, "use compression level", "%.80q is none of %s", name, strings.Join(levelNames[:], ", "))
}

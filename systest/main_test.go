// Package systest holds the tests of brock as its users meet it: the real
// binary, real alphas, directories, signals. What a test knows of an alpha it
// knows from the answers to its requests; what it expects of a restore is a
// model of what was acknowledged.
package systest

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// program is the program under test. Children of a test inherit it.
var program string

const programVariable = "SYSTEST_PROGRAM"

var (
	seed  = flag.Uint64("seed", 0, "of the random tests, as a failed one has logged it; 0 means a new one")
	steps = flag.Int("steps", 60, "of each random workload")
)

// newRandom returns the random numbers of a test, which logs how to have them again.
func newRandom(t *testing.T) *rand.Rand {
	t.Helper()
	s := *seed
	if s == 0 {
		s = rand.Uint64()
	}
	t.Logf("go test ./systest -run '^%s$' -seed %d", t.Name(), s)
	return rand.New(rand.NewPCG(s, 0))
}

func TestMain(m *testing.M) {
	flag.Parse()
	code, err := buildAndRun(m)
	for _, leak := range watched.leaks() {
		fmt.Fprintln(os.Stderr, "LEAK:", leak)
		code = 1
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func buildAndRun(m *testing.M) (int, error) {
	if program = os.Getenv(programVariable); program != "" {
		return m.Run(), nil
	}
	dir, err := os.MkdirTemp("", "brock-systest-")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir)
	program = filepath.Join(dir, "brock")
	args := []string{"build", "-buildvcs=false", "-o", program}
	if raceDetector {
		args = append(args, "-race")
	}
	if out, err := exec.Command("go", append(args, "github.com/brockdb/brock/cmd/brock")...).CombinedOutput(); err != nil {
		return 0, fmt.Errorf("cannot build the program: %w\n%s", err, out)
	}
	if err := os.Setenv(programVariable, program); err != nil {
		return 0, err
	}
	return m.Run(), nil
}

package systest

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	"github.com/brockdb/brock/backup/fault"
)

// TestTwoAlphas has two alphas back up to one destination at the same time, in a
// loop. One that is kept from it is told why and what to do; every backup that
// succeeds is listed, sound, and restores to what its own alpha held.
func TestTwoAlphas(t *testing.T) {
	t.Parallel()
	random := newRandom(t)
	destination := t.TempDir()
	loops := [2]*backupLoop{}
	var running sync.WaitGroup
	for i := range loops {
		l := &backupLoop{
			alpha: startAlpha(t, t.TempDir()), model: model{}, points: map[string]model{}, enough: 5,
			random: rand.New(rand.NewPCG(random.Uint64(), 3)), destination: destination, name: fmt.Sprint("alpha ", i),
		}
		loops[i] = l
		running.Go(func() { l.run(t) })
	}
	running.Wait()
	if t.Failed() {
		t.FailNow()
	}
	for _, l := range loops {
		l.alpha.stop(t)
	}
	t.Logf("refused: %v, %v", loops[0].refused, loops[1].refused)
	good(t, "verify", "-l", destination, "--level", "full")
	all := list(t, destination)
	if want := len(loops[0].points) + len(loops[1].points); len(all) != want {
		t.Errorf("%d backups are listed, %d succeeded", len(all), want)
	}
	for i, m := range all {
		l := loops[0]
		if l.points[m.Path] == nil {
			l = loops[1]
		}
		if l.points[m.Path] == nil {
			t.Errorf("nobody has made %s", m.Path)
		} else if i%3 == 0 || m.BackupNum > 1 {
			a := startAlpha(t, restoreBackup(t, destination, m.BackupID, m.BackupNum).dir)
			a.check(t, l.points[m.Path], l.name+", "+m.Path)
			a.stop(t)
		}
	}
	if left := unfinished(t, destination); len(left) > 0 {
		t.Errorf("there is left %q", left)
	}
}

// backupLoop writes and backs up, by turns.
type backupLoop struct {
	alpha       *alpha
	model       model
	points      map[string]model // by folder
	random      *rand.Rand
	destination string
	name        string
	refused     map[string]int // by reason
	enough      int            // backups
}

// run goes on until enough backups have succeeded.
func (l *backupLoop) run(t *testing.T) {
	l.refused = map[string]int{}
	for turn := 0; len(l.points) < l.enough && !t.Failed(); turn++ {
		into := ref{"default", fmt.Sprint("collection ", l.random.IntN(3))}
		value := json.RawMessage(fmt.Sprintf(`"%s, turn %d"`, l.name, turn))
		_, keys, err := l.alpha.put(t, into, putRecord{Value: value}, putRecord{"same", value})
		if err != nil {
			t.Error(err)
			return
		}
		l.model.in(into).records[keys[0]] = string(value)
		l.model.in(into).records["same"] = string(value)
		done, err := l.alpha.tryBackup(t, l.destination, l.random.IntN(2) == 0)
		switch {
		case err != nil:
			l.refused[reasonOf(t, fault.KindOf(err), err.Error(), fault.HintOf(err))]++
		case done.Status == "Failed":
			l.refused[reasonOf(t, fault.Other, done.Message, done.Hint)]++
		default:
			l.points[done.Path] = l.model.clone()
		}
	}
}

// reasonOf checks that a refusal is one of the two there may be, and that it
// says what to do.
func reasonOf(t *testing.T, kind fault.Kind, message, hint string) string {
	t.Helper()
	switch {
	case strings.Contains(message, "it is of another database") && strings.Contains(hint, "forceFull: true") &&
		(kind == fault.Other || kind == fault.Mixed):
		return "mixed"
	case strings.Contains(message, "held by alpha of ") && strings.Contains(hint, "wait until it is done") &&
		(kind == fault.Other || kind == fault.Locked):
		return "locked"
	}
	t.Errorf("an error of kind %v: %s (hint %q)", kind, message, hint)
	return "other"
}

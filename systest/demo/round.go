package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

const (
	citiesFile = "systest/data/cities.ndjson.gz"
	cities     = "cities"
	scratch    = "scratch" // dropped before the second backup
	journal    = "journal" // its records have no keys: brock assigns uids
	updates    = 4000      // cities changed between the backups
	removals   = 3000      // cities removed between the backups
	pollEvery  = 100 * time.Millisecond
)

// round goes through the main job once, with or without encryption.
type round struct {
	*demo
	name    string
	keyFile string // "" for none

	source *alpha
	state  model // acknowledged by source
}

func (r *round) path(elem ...string) string {
	return filepath.Join(append([]string{r.dir, r.name}, elem...)...)
}

// withKey adds the key file's flag to a command.
func (r *round) withKey(args ...string) []string {
	if r.keyFile != "" {
		args = append(args, "--encryption_key_file", r.keyFile)
	}
	return args
}

func (r *round) run(ctx context.Context) (err error) {
	fmt.Printf("\n%s\n", r.bold("== "+strings.ToUpper(r.name[:1])+r.name[1:]+" =="))
	err = r.step("Serve an empty database", "brock "+strings.Join(r.withKey("alpha", "-p", r.path("data")), " "), func() error {
		r.source, err = r.startAlpha(ctx, r.path("data"), r.keyFile)
		return err
	})
	if err != nil {
		return err
	}
	points, err := r.backups(ctx)
	if err = errors.Join(err, r.source.stop()); err != nil {
		return err
	}
	for i, want := range points {
		if err := r.restore(ctx, i+1, want); err != nil {
			return err
		}
	}
	return r.proofs(ctx)
}

// backups loads, backs up, changes and backs up again. It returns what was
// acknowledged at each backup.
func (r *round) backups(ctx context.Context) ([]model, error) {
	records, err := readCities(citiesFile)
	if err != nil {
		return nil, err
	}
	r.state = model{cities: records, scratch: {}, journal: {}}
	var points []model
	steps := []struct {
		what, command string
		fn            func(context.Context) error
	}{
		{fmt.Sprintf("Load %d cities", len(records)),
			"brock load --alpha " + r.source.url + " -c cities -f " + citiesFile, r.load},
		{"Fill two more collections, one with records that get their keys from brock", "POST /graphql mutation { put(input: {…}) { commitTs keys } }", r.fill},
		{"Full backup", "POST /admin " + r.mutation(), r.backup},
		{fmt.Sprintf("Change %d cities, remove %d, drop a collection", updates, removals), "POST /graphql mutation { put … remove … dropCollection … }", r.change},
		{"Incremental backup", "POST /admin " + r.mutation(), r.backup},
	}
	for i, s := range steps {
		if err := r.step(s.what, s.command, func() error { return s.fn(ctx) }); err != nil {
			return nil, err
		}
		if i == 2 || i == 4 {
			points = append(points, r.state.clone())
		}
	}
	return points, nil
}

func (r *round) load(ctx context.Context) error {
	out, err := r.brock(ctx, "load", "--alpha", r.source.url, "-c", cities, "-f", citiesFile)
	if err != nil {
		return err
	}
	indented(out)
	if want := fmt.Sprintf("%d records loaded", len(r.state[cities])); !strings.HasPrefix(out, want) {
		return fmt.Errorf("it was to say %q", want)
	}
	return nil
}

// mutation is Dgraph's, as its manual has it.
func (r *round) mutation() string {
	return fmt.Sprintf(`mutation { backup(input: {destination: %q}) { response { message code } taskId } }`, r.path("backups"))
}

// backup asks for a backup and waits for its task.
func (r *round) backup(ctx context.Context) error {
	var queued struct {
		Backup struct{ TaskID string }
	}
	if err := r.source.client.Admin(ctx, r.mutation(), nil, &queued); err != nil {
		return err
	}
	for {
		var answer struct {
			Task struct {
				Status, Message, Hint string
				BackupNum             int
				Progress              struct{ Records int64 }
			}
		}
		const query = `query($id: String!) { task(input: {id: $id}) { status message hint backupNum progress { records } } }`
		if err := r.source.client.Admin(ctx, query, map[string]any{"id": queued.Backup.TaskID}, &answer); err != nil {
			return err
		}
		switch answer.Task.Status {
		case "Success":
			fmt.Printf("    backup %d holds %d records\n", answer.Task.BackupNum, answer.Task.Progress.Records)
			return nil
		case "Queued", "Running":
		default:
			return fmt.Errorf("task %s: %s; %s", answer.Task.Status, answer.Task.Message, answer.Task.Hint)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pollEvery):
		}
	}
}

// restore restores one backup, serves it and compares it with what was
// acknowledged when it was made.
func (r *round) restore(ctx context.Context, num int, want model) error {
	dir := r.path(fmt.Sprintf("restored-%d", num))
	args := r.withKey("restore", "-p", dir, "-l", r.path("backups"), "--backup_num", fmt.Sprint(num), "--force_zero=false")
	err := r.step(fmt.Sprintf("Restore backup %d", num), "brock "+strings.Join(args, " "), func() error {
		out, err := r.brock(ctx, args...)
		if err == nil {
			indented(out)
		}
		return err
	})
	if err != nil {
		return err
	}
	args = r.withKey("alpha", "-p", filepath.Join(dir, "p1"))
	return r.step("Serve it and compare every record with what was acknowledged", "brock "+strings.Join(args, " "), func() error {
		a, err := r.startAlpha(ctx, filepath.Join(dir, "p1"), r.keyFile)
		if err != nil {
			return err
		}
		return errors.Join(r.compare(ctx, a, want), a.stop())
	})
}

// compare dumps every collection and holds it against the model, and the list
// of collections too.
func (r *round) compare(ctx context.Context, a *alpha, want model) error {
	var listed struct {
		Collections []struct{ Name string }
	}
	if err := a.client.Data(ctx, `{ collections { name } }`, nil, &listed); err != nil {
		return err
	}
	if len(listed.Collections) != len(want) {
		return fmt.Errorf("there are %d collections, %d were acknowledged", len(listed.Collections), len(want))
	}
	for _, name := range slices.Sorted(maps.Keys(want)) {
		args := []string{"dump", "--alpha", a.url, "-c", name}
		r.show("brock " + strings.Join(args, " "))
		got, err := r.brock(ctx, args...)
		if err != nil {
			return err
		}
		expected, err := want.dump(name)
		if err != nil {
			return err
		}
		if got != string(expected) {
			return fmt.Errorf("collection %s is not what was acknowledged: %d bytes, expected %d", name, len(got), len(expected))
		}
		fmt.Printf("    %s: %d records, equal byte for byte\n", name, len(want[name]))
	}
	return nil
}

// proofs verifies the series, and shows that an encrypted one needs its key.
func (r *round) proofs(ctx context.Context) error {
	args := r.withKey("verify", "-l", r.path("backups"), "--level", "full")
	err := r.step("Verify every byte", "brock "+strings.Join(args, " "), func() error {
		out, err := r.brock(ctx, args...)
		if err == nil {
			indented(out)
		}
		return err
	})
	if err != nil || r.keyFile == "" {
		return err
	}
	args = []string{"restore", "-p", r.path("no-key"), "-l", r.path("backups"), "--force_zero=false"}
	return r.step("Without the key it is refused", "brock "+strings.Join(args, " "), func() error {
		_, err := r.brock(ctx, args...)
		if err == nil || !strings.Contains(err.Error(), "no key was given") {
			return fmt.Errorf("it was not refused for the missing key: %w", err)
		}
		if _, stat := os.Stat(r.path("no-key")); !os.IsNotExist(stat) {
			return errors.New("something was written")
		}
		indented(err.Error())
		return nil
	})
}

// Command demo shows brock's main job on real data, and proves it: go run
// ./systest/demo (make demo). It builds brock, serves a database, loads 135,233
// cities, backs up, changes thousands of records, backs up again, restores both
// points, and compares every record of what comes back with what was
// acknowledged. Then it does the same with encryption.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/term"
)

func main() {
	keep := flag.Bool("keep", false, "keep the directory with databases and backups")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *keep); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, keep bool) (err error) {
	dir, err := os.MkdirTemp("", "brock-demo-")
	if err != nil {
		return err
	}
	defer func() {
		if keep {
			fmt.Println("\nDatabases and backups are in", dir)
			return
		}
		err = errors.Join(err, os.RemoveAll(dir))
	}()
	d := &demo{dir: dir, binary: filepath.Join(dir, "brock"), began: time.Now(),
		terminal: term.IsTerminal(int(os.Stdout.Fd())) && os.Getenv("NO_COLOR") == ""}
	if err := d.step("Build brock", "go build ./cmd/brock", func() error { return d.build(ctx) }); err != nil {
		return err
	}
	key := filepath.Join(dir, "key")
	if err := newKey(key); err != nil {
		return err
	}
	for _, round := range []*round{
		{demo: d, name: "plain"},
		{demo: d, name: "encrypted", keyFile: key},
	} {
		if err := round.run(ctx); err != nil {
			return fmt.Errorf("%s: %w", round.name, err)
		}
	}
	fmt.Printf("\n%s %.0f seconds.\n%s", d.bold("All of it holds."), time.Since(d.began).Seconds(), nextSteps)
	return nil
}

const nextSteps = `
Try it yourself (README.md has the whole tour):

  make build
  bin/brock alpha -p /tmp/tour/data &
  bin/brock load -c cities -f systest/data/cities.ndjson.gz

Open http://127.0.0.1:8080/admin in a browser for GraphiQL, or:

  curl -s http://127.0.0.1:8080/admin -H 'Content-Type: application/graphql' \
    -d 'mutation { backup(input: {destination: "/tmp/tour/backups"}) { response { message code } taskId } }'
  curl -s http://127.0.0.1:8080/admin -H 'Content-Type: application/graphql' \
    -d '{ tasks { status phase message hint } }'                  # until it says Success

Then list, verify and restore it, and serve what was restored:

  bin/brock lsbackup -l /tmp/tour/backups --output table
  bin/brock verify -l /tmp/tour/backups --level full
  bin/brock restore -p /tmp/tour/now -l /tmp/tour/backups --force_zero=false
  bin/brock alpha -p /tmp/tour/now/p1 --http 127.0.0.1:8081 &
  bin/brock dump --alpha http://127.0.0.1:8081 -c cities | head -n 3
`

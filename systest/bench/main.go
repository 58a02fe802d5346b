// Command bench measures brock against its peers, in the same run, on data
// that it generates: go run ./systest/bench (make bench). It prints ratios;
// seconds depend on the machine.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"regexp"
	"runtime"
	"syscall"
)

// config is what the command line says.
type config struct {
	scale    float64
	runs     int
	only     *regexp.Regexp
	dir      string
	floor    float64
	profiles string // directory for a CPU profile of each job
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var err error
	if len(os.Args) == 3 && os.Args[1] == "job" {
		err = beJob(ctx, os.Args[2])
	} else {
		err = run(ctx)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) (err error) {
	var c config
	flag.Float64Var(&c.scale, "scale", 1, "size of the data sets; 1 is 5,000,000, 500,000 and 200,000 records")
	flag.IntVar(&c.runs, "runs", 5, "runs of each side; medians count")
	only := flag.String("only", ".", "measure only the rows whose name matches this regular expression")
	flag.StringVar(&c.dir, "dir", "", "work directory (default: a temporary one, removed at the end); generated data in it is used again")
	flag.Float64Var(&c.floor, "floor", 0, "fail when a ratio is below this share of its goal (0: never)")
	flag.StringVar(&c.profiles, "profiles", "", "directory to write a CPU profile of each kind of job into (default: none)")
	flag.Parse()
	if c.only, err = regexp.Compile(*only); err != nil {
		return err
	}
	if c.profiles != "" {
		if err := os.MkdirAll(c.profiles, 0o755); err != nil {
			return err
		}
	}
	if c.dir == "" {
		if c.dir, err = os.MkdirTemp("", "brock-bench-"); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, os.RemoveAll(c.dir)) }()
	}
	fmt.Printf("%s/%s, %d cores, %s; scale %g, medians of %d runs\n\n",
		runtime.GOOS, runtime.GOARCH, runtime.GOMAXPROCS(0), runtime.Version(), c.scale, c.runs)
	return c.table(ctx)
}

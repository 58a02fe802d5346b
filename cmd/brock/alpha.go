package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"strconv"
	"time"

	"github.com/golang/glog"
	"github.com/spf13/cobra"

	"github.com/brockdb/brock/backup/destination"
	"github.com/brockdb/brock/backup/fault"
	"github.com/brockdb/brock/ee"
	"github.com/brockdb/brock/graph"
	"github.com/brockdb/brock/worker"
	"github.com/brockdb/brock/worker/store"
)

// alphaOptions are the flags of brock alpha.
type alphaOptions struct {
	dir            string
	http           string
	group          uint32
	keys           alphaKeys
	access         accessFlags
	heartbeatURL   string
	pinMaxAge      time.Duration
	pinMaxGrowthMB uint32
	blockCacheMB   uint32
	backupWorkers  uint32
	queuedTasks    uint32
	keptTasks      uint32
	drain          time.Duration
	diskWatchdog   time.Duration
	verbosity      uint8
	storage        storageFlags
}

func newAlpha() *cobra.Command {
	o := new(alphaOptions)
	cmd := &cobra.Command{
		Use:   "alpha -p DIR",
		Short: "Serve a database over HTTP",
		Long: `Serves the database in a directory, which is made when it is missing: records at
/graphql, /load and /dump, backups at /admin, its state at /health. A browser finds
GraphiQL at /admin and /graphql.

When it serves, one line on stdout says where. SIGINT or SIGTERM ends it: requests
under way are answered, a running backup is stopped, the database is closed. The log
is on stderr.

When the disk of the database fails, so that it takes no more writes, /health answers
503, and after --disk_watchdog the alpha ends with 1. Started again it has all that
was acknowledged.

/admin answers to the loopback address and to the --whitelist. /graphql, /load and
/dump answer to whoever reaches --http: leave it on the loopback address unless the
network is trusted.`,
		Example: `  brock alpha -p data
  brock alpha -p data --http 10.0.0.7:8080 --whitelist 10.0.0.0/24 --encryption_key_file key`,
		RunE: func(cmd *cobra.Command, _ []string) error { return o.run(cmd.Context(), cmd) },
	}
	o.addFlags(cmd)
	return cmd
}

func (o *alphaOptions) addFlags(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVarP(&o.dir, "postings", "p", "", "`DIR` of the database")
	flags.StringVar(&o.http, "http", "127.0.0.1:8080", "`ADDR` to serve at; port 0 means a free one")
	flags.Uint32Var(&o.group, "group", 1, "`NUMBER` of the group that the database is of")
	o.keys.add(cmd)
	o.access.add(cmd)
	flags.StringVar(&o.heartbeatURL, "heartbeat_url", "",
		"`URL` to ask for after each backup that succeeded, of a monitor that misses it; only its host is logged")
	flags.DurationVar(&o.pinMaxAge, "pin_max_age", store.DefaultPinMaxAge,
		"`AGE` of a series' newest backup at which its deletes are let go and the next one is full; negative: never")
	flags.Uint32Var(&o.pinMaxGrowthMB, "pin_max_growth_mb", 0,
		"`MB` by which the database may grow since a series' newest backup before its deletes are let go; 0 means any")
	flags.Uint32Var(&o.blockCacheMB, "block_cache_mb", 64, "`MB` of memory for blocks of the database")
	flags.Uint32Var(&o.backupWorkers, "backup_workers", 0, "`N` parallel scanners of a backup; 0 means half the cores")
	flags.Uint32Var(&o.queuedTasks, "queued_tasks", 100, "`N` tasks that may wait; more are refused")
	flags.Uint32Var(&o.keptTasks, "kept_tasks", 1000, "`N` finished tasks to remember")
	flags.DurationVar(&o.drain, "drain", 20*time.Second, "`TIME` that requests under way are given when the alpha ends")
	flags.DurationVar(&o.diskWatchdog, "disk_watchdog", 30*time.Second,
		"`TIME` that an alpha whose database takes no more writes goes on reading and says so, before it ends with 1")
	flags.Uint8VarP(&o.verbosity, "v", "v", 0, "`LEVEL` of the log: from 2 on with each call of storage, from 3 on with each request")
	o.storage.add(cmd)
	require(cmd, "postings")
	completeDirs(cmd, "postings")
	completeNothing(cmd, "http", "heartbeat_url", "group", "pin_max_age", "pin_max_growth_mb", "block_cache_mb",
		"backup_workers", "queued_tasks", "kept_tasks", "drain", "disk_watchdog", "v")
}

// check refuses zeros that the packages below would take for their default.
func (o *alphaOptions) check() error {
	for _, number := range []struct {
		flag string
		zero bool
	}{
		{"group", o.group == 0}, {"pin_max_age", o.pinMaxAge == 0}, {"block_cache_mb", o.blockCacheMB == 0},
		{"queued_tasks", o.queuedTasks == 0}, {"kept_tasks", o.keptTasks == 0},
	} {
		if number.zero {
			return fault.New(fault.Usage, "use flag --"+number.flag, "it is 0")
		}
	}
	return o.access.check()
}

const mebibyte = 1 << 20

// run serves until ctx is canceled, which is a good end.
func (o *alphaOptions) run(ctx context.Context, cmd *cobra.Command) (err error) {
	if err := o.check(); err != nil {
		return err
	}
	if err := logToStderr(o.verbosity); err != nil {
		return err
	}
	defer glog.Flush()
	keys, err := o.keys.hold(ctx)
	if err != nil {
		return err
	}
	defer keys.end()
	storage, err := o.storage.options()
	if err != nil {
		return err
	}
	options, err := o.access.options()
	if err != nil {
		return err
	}
	if options.Audit != nil {
		defer func() { err = errors.Join(err, options.Audit.Close()) }()
		defer reopenOnHangup(options.Audit)()
	}
	observed, stop, err := observe(ctx)
	if err != nil {
		return err
	}
	defer stop()
	options.Metrics = observed.metrics
	server, err := graph.New(options)
	if err != nil {
		return err
	}
	manager, err := newNotifier()
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", o.http)
	if err != nil {
		return fault.Wrap(err, "serve HTTP at %s", o.http)
	}
	return o.serve(ctx, cmd.OutOrStdout(), server, listener, manager, observed.of(o.node(keys, storage)))
}

// node returns the options of the node that is served.
func (o *alphaOptions) node(keys *heldKeys, storage destination.Options) worker.Options {
	return worker.Options{
		Dir: o.dir, Group: o.group, Keys: keys.ring, AtRest: keys.atRest, Vault: keys.vault, BackupWorkers: int(o.backupWorkers), PinMaxAge: o.pinMaxAge, PinMaxGrowth: int64(o.pinMaxGrowthMB) * mebibyte,
		BlockCacheBytes: int64(o.blockCacheMB) * mebibyte, QueuedTasks: int(o.queuedTasks), KeptTasks: int(o.keptTasks),
		Storage: storage, Heartbeat: o.heartbeatURL,
	}
}

// serve answers from the start, with 503 until the database is open, and ends
// in the opposite order.
func (o *alphaOptions) serve(ctx context.Context, stdout io.Writer, server *graph.Server, listener net.Listener,
	manager *notifier, options worker.Options) error {
	served := make(chan error, 1)
	go func() {
		served <- server.Serve(listener)
		close(served)
	}()
	node, err := worker.Open(ctx, options)
	if err == nil {
		server.Ready(node)
		_, err = fmt.Fprintf(stdout, "brock alpha listens on %s://%s\n", o.access.scheme(), listener.Addr())
	}
	if err == nil {
		logStart(node, o.dir, options.Keys.First())
		warnOfNetwork(listener.Addr())
		manager.send(fmt.Sprintf("READY=1\nSTATUS=serves group %d at %s://%s", o.group, o.access.scheme(), listener.Addr()))
		stop := manager.watch(func() error { return readable(node) })
		select {
		case err = <-served:
		case <-ctx.Done():
			glog.Infof("ending: %v", context.Cause(ctx))
		case <-node.Broken():
			err = o.outlast(ctx, node)
		}
		stop()
		manager.send("STOPPING=1")
	}
	drain, cancel := context.WithTimeout(context.Background(), o.drain)
	defer cancel()
	err = errors.Join(err, server.Shutdown(drain), <-served)
	if node != nil {
		err = errors.Join(err, node.Close())
	}
	return err
}

// outlast gives monitors the time to see that the store has failed, and returns
// why it has.
func (o *alphaOptions) outlast(ctx context.Context, node *worker.Node) error {
	err := node.Disk().Failed
	glog.Errorf("%v; ending in %v", err, o.diskWatchdog)
	timer := time.NewTimer(o.diskWatchdog)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
	return fault.Wrap(err, "go on serving %s", o.dir)
}

// readable tells whether the store can be read.
func readable(node *worker.Node) error {
	view, err := node.View()
	if err == nil {
		view.Close()
	}
	return err
}

func logStart(node *worker.Node, dir string, key ee.Key) {
	status := node.Status()
	backups := "plain"
	if !key.IsZero() {
		backups = "encrypted with key " + key.ID()
	}
	glog.Infof("brock %s serves group %d from %s (database %s, commit %d); its backups are %s",
		versionText(), status.Group, dir, status.DBID, status.MaxTs, backups)
}

// warnOfNetwork tells who else may read and write the records.
func warnOfNetwork(address net.Addr) {
	if tcp, ok := address.(*net.TCPAddr); ok && !tcp.IP.IsLoopback() {
		glog.Warningf("/graphql, /load and /dump answer to everybody who reaches %s", address)
	}
}

// logToStderr sets glog up, whose flags are no flags of brock.
func logToStderr(verbosity uint8) error {
	return errors.Join(flag.CommandLine.Parse(nil), flag.Set("logtostderr", "true"), flag.Set("v", strconv.Itoa(int(verbosity))))
}

package worker

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/golang/glog"

	"github.com/brockdb/brock/backup/destination"
	"github.com/brockdb/brock/backup/fault"
	"github.com/brockdb/brock/ee"
	"github.com/brockdb/brock/worker/metrics"
	"github.com/brockdb/brock/worker/schedule"
	"github.com/brockdb/brock/worker/store"
	"github.com/brockdb/brock/worker/task"
	"github.com/brockdb/brock/worker/trace"
)

// Options of a Node. Only Dir must be set.
type Options struct {
	Dir   string // of the store
	Group uint32 // 0 means 1

	// Keys are those that backups may be read with. The first encrypts the
	// backups; without one they are plain.
	Keys ee.KeyRing

	// AtRest encrypts the store's directory; as in store.Options.
	AtRest ee.Key

	// Vault is where requests may take other keys from.
	Vault VaultOptions

	// BackupWorkers is how many scanners a backup has; 0 means half the cores.
	BackupWorkers int

	// Storage says how destinations are reached. A request's own credentials take
	// precedence over those in it.
	Storage destination.Options

	// Owner names this node at a destination while it backs up there; "" means
	// the host's name and Dir.
	Owner string

	BlockCacheBytes int64         // as in store.Options
	PinMaxAge       time.Duration // as in store.Options
	PinMaxGrowth    int64         // as in store.Options
	QueuedTasks     int           // that may wait; 0 means 100
	KeptTasks       int           // finished ones that are remembered; 0 means 1,000

	Metrics   *metrics.Metrics // counts what is done; nil for none
	Tracer    *trace.Tracer    // makes spans of tasks; nil for none
	Heartbeat string           // URL that is asked for after each backup that succeeded; "" for none

	Now func() time.Time // nil means time.Now
}

// Node is a running node. Its methods may be called from many goroutines.
type Node struct {
	options Options
	store   *store.Store
	tasks   *task.Queue
	planned *schedule.Scheduler
	started time.Time

	heartbeat *heartbeat // nil for none
	beats     sync.WaitGroup
	beating   context.Context // of beats

	stop      context.CancelFunc // of the housekeeping
	stopped   chan struct{}      // closed when it has ended
	closeOnce sync.Once
	closeErr  error
}

// Open opens the store in o.Dir, making it when the directory is missing or
// empty, and starts the node.
func Open(ctx context.Context, o Options) (*Node, error) {
	if o.Group == 0 {
		o.Group = 1
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.PinMaxAge == 0 {
		o.PinMaxAge = store.DefaultPinMaxAge
	}
	if o.Owner == "" {
		o.Owner = defaultOwner(o.Dir)
	}
	beat, err := newHeartbeat(o.Heartbeat)
	if err != nil {
		return nil, err
	}
	if o.Metrics != nil {
		o.Storage.Observer = observing(o.Storage.Observer, o.Metrics)
	}
	if glog.V(logCalls) {
		o.Storage.Observer = observing(o.Storage.Observer, storageLog{})
	}
	db, err := store.Open(store.Options{
		Dir: o.Dir, Group: o.Group, AtRest: o.AtRest, BlockCacheBytes: o.BlockCacheBytes, PinMaxAge: o.PinMaxAge, PinMaxGrowth: o.PinMaxGrowth, Now: o.Now,
	})
	if err != nil {
		return nil, err
	}
	if o.Storage.Bandwidth == nil { // of all tasks together
		o.Storage.Bandwidth, err = destination.NewBandwidth(o.Storage.MaxBandwidth)
		if err != nil {
			return nil, errors.Join(err, db.Close())
		}
	}
	keeping, stop := context.WithCancel(context.Background())
	n := &Node{options: o, store: db, started: o.Now(), heartbeat: beat, beating: keeping, stop: stop, stopped: make(chan struct{})}
	n.tasks, err = task.Open(ctx, task.Options{Records: db, Capacity: o.QueuedTasks, Keep: o.KeptTasks, Now: o.Now, Around: n.around})
	if err != nil {
		stop()
		return nil, errors.Join(err, db.Close())
	}
	n.measure()
	n.planned, err = schedule.Open(ctx, schedule.Options{Records: db, Runner: scheduled{n}, Now: o.Now})
	if err != nil {
		stop()
		n.tasks.Close()
		return nil, errors.Join(err, db.Close())
	}
	go n.keepHouse(keeping)
	return n, nil
}

func defaultOwner(dir string) string {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown host"
	}
	if abs, err := filepath.Abs(dir); err == nil {
		dir = abs
	}
	return "alpha of " + dir + " on " + host
}

// Close stops the running tasks, which are recorded as failed, and closes the
// store. It waits for open views to be closed. Closing twice returns the same
// error again.
func (n *Node) Close() error {
	n.closeOnce.Do(func() {
		n.stop()
		n.planned.Close()
		n.tasks.Close()
		<-n.stopped
		n.beats.Wait()
		n.closeErr = n.store.Close()
	})
	return n.closeErr
}

// Propose commits a batch, durably and as a whole, and returns its commit ts.
// See store.Store.Propose.
func (n *Node) Propose(ctx context.Context, b *store.Batch) (commitTs uint64, err error) {
	return n.store.Propose(ctx, b)
}

// View opens a snapshot of the newest acknowledged commit. It must be closed.
func (n *Node) View() (*store.View, error) { return n.store.View() }

// Task returns a task, or an error of kind NotFound.
func (n *Node) Task(id string) (task.Task, error) { return n.tasks.Get(id) }

// Tasks returns all tasks that are remembered, newest first.
func (n *Node) Tasks() []task.Task { return n.tasks.List() }

// CancelTask stops a task that waits or runs. See task.Queue.Cancel.
func (n *Node) CancelTask(ctx context.Context, id string) error { return n.tasks.Cancel(ctx, id) }

// Status is what a node tells about itself.
type Status struct {
	Group   uint32
	DBID    string
	MaxTs   uint64 // the newest commit
	MaxUID  uint64 // the highest uid handed out
	Started time.Time
	Ongoing []string    // as in Dgraph's health: "opBackup"
	Pins    []store.Pin // deletes that are kept visible for incremental backups
}

// Status returns the node's present state. It reads nothing from disk.
func (n *Node) Status() Status {
	s := Status{
		Group: n.store.Group(), DBID: n.store.ID(), MaxTs: n.store.MaxTs(), MaxUID: n.store.MaxUID(),
		Started: n.started, Ongoing: []string{}, Pins: n.store.Pins(),
	}
	for _, running := range n.tasks.Running() {
		s.Ongoing = append(s.Ongoing, "op"+string(running.Kind))
	}
	return s
}

// houseInterval is how often the value log is looked through for garbage.
const houseInterval = 10 * time.Minute

// keepHouse gives the space of removed large values back from time to time.
func (n *Node) keepHouse(ctx context.Context) {
	defer close(n.stopped)
	tick := time.NewTicker(houseInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if _, err := n.store.RewriteValueLog(ctx); err != nil && !fault.Is(err, fault.Canceled) {
			glog.Errorf("%v", err)
		}
	}
}

// Package broker runs the Kafka-protocol broker of the embedded stack: one node
// of franz-go's kfake with its data in a folder.
//
// # What it guarantees
//
// A record, a committed offset and a topic with its configs that were
// acknowledged survive the death of the broker process by any signal, SIGKILL
// included: kfake hands each of them to write(2) before it answers, so they are
// in the kernel's page cache by then. They do not survive a power cut, because
// nothing is fsynced before the answer. That is also how Apache Kafka behaves as
// delivered (it relies on replicas instead). kfake's SyncWrites would close the
// gap, but it fsyncs two files for each batch of each partition, and one for each
// committed offset, in the one goroutine that serves all requests. Measured
// on a virtual machine with two cores and an SSD (BenchmarkProduce in the
// tests): 0.09 ms for an acknowledged record without it against 0.9 ms with it,
// and an order takes some thirty of these steps. The databases do fsync, and what the broker
// lacks after a power cut is still in the outboxes.
//
// # Where it is kinder than Apache Kafka
//
//   - There is one node and no replica: acks=all means one write. No leader
//     election, no ISR, no unclean failover is ever exercised.
//   - All requests are handled one after the other by one goroutine, so races
//     between requests do not show.
//   - A clean stop saves group members and fetch sessions: clients continue
//     without a rebalance. After SIGKILL, groups start empty as in Kafka.
//   - The first batch of a producer unknown to it is accepted whatever its
//     sequence number; Kafka is as lenient only where the producer state expired.
//   - Quotas, throttling and request timeouts hardly exist.
//
// # Where it is less kind
//
//   - After SIGKILL it has forgotten the sequence numbers of idempotent
//     producers, which Kafka rebuilds from the log. A batch that was written but
//     not acknowledged is then stored twice when the producer repeats it. First
//     occurrences keep their order. Consumers need an inbox anyway.
//   - A write that fails (disk full) is answered with an error but has advanced
//     the producer's sequence.
//   - It refuses whole kinds of requests when it is told to, see [Refuse].
//
// # How it fails
//
// [Run] returns an error when the port is taken, when another broker uses the
// folder, or when the data cannot be read. An unfinished batch at the end of a
// segment is cut off at start, which the log tells.
package broker

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"syscall"

	"github.com/twmb/franz-go/pkg/kfake"

	"eventshop.example/pkg/events"
)

// Config says where the broker keeps its data and where it listens.
type Config struct {
	// DataDir is created when missing. One broker uses it at a time.
	DataDir string
	// Port on 127.0.0.1. It must stay the same over restarts, because clients
	// come back to it.
	Port int
	// Log gets the broker's own warnings; nil is [slog.Default].
	Log *slog.Logger
	// SyncWrites fsyncs each batch before it is acknowledged, see the package
	// comment.
	SyncWrites bool
}

// Run serves until ctx ends, then saves and returns nil. Until then it refuses what [Refuse]
// says.
func Run(ctx context.Context, cfg Config) error {
	if cfg.Log == nil {
		cfg.Log = slog.Default()
	}
	if err := os.MkdirAll(cfg.DataDir, 0o755); err != nil {
		return fmt.Errorf("create the broker's data folder: %w", err)
	}
	unlock, err := lock(cfg.DataDir)
	if err != nil {
		return err
	}
	defer unlock()
	opts := []kfake.Opt{
		kfake.NumBrokers(1),
		kfake.Ports(cfg.Port),
		kfake.ClusterID("eventshop"),
		kfake.DefaultNumPartitions(int(events.Partitions)),
		kfake.DataDir(cfg.DataDir),
		kfake.WithLogger(logger{cfg.Log}),
	}
	if cfg.SyncWrites {
		opts = append(opts, kfake.SyncWrites())
	}
	cluster, err := kfake.NewCluster(opts...)
	if err != nil {
		return fmt.Errorf("start broker on port %d: %w", cfg.Port, err)
	}
	// The file holds the producers' sequence numbers of the last clean stop and
	// has been read. Left in place, it would be read again after a SIGKILL, and
	// a producer that went on meanwhile would be refused as out of order.
	stale := filepath.Join(cfg.DataDir, "seq_windows.json")
	if err := os.Remove(stale); err != nil && !errors.Is(err, fs.ErrNotExist) {
		cluster.Close()
		return fmt.Errorf("remove sequence numbers already read: %w", err)
	}
	cfg.Log.Info("broker listens", "addrs", cluster.ListenAddrs(), "data", cfg.DataDir)
	followRefusals(ctx, cluster, cfg.DataDir, cfg.Log)
	cluster.Close()
	cfg.Log.Info("broker stopped")
	return nil
}

// lock keeps two brokers from writing the same segments. The kernel drops the
// lock with the process, however that ends.
func lock(dir string) (unlock func(), err error) {
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, fmt.Errorf("lock the broker's data folder: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		return nil, fmt.Errorf("another broker uses %s: %w", dir, err)
	}
	return func() { f.Close() }, nil
}

// logger passes kfake's messages on to slog.
type logger struct{ log *slog.Logger }

func (l logger) Logf(level kfake.LogLevel, format string, args ...any) {
	var to slog.Level
	switch level {
	case kfake.LogLevelError:
		to = slog.LevelError
	case kfake.LogLevelWarn:
		to = slog.LevelWarn
	default:
		to = slog.LevelDebug // its "info" is one line per request
	}
	if l.log.Enabled(context.Background(), to) {
		l.log.Log(context.Background(), to, fmt.Sprintf(format, args...))
	}
}

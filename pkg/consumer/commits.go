package consumer

import (
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

const (
	// commitPatience is how long commits of offsets may fail before the consumer is not ready. A
	// rebalance refuses some commits for a moment, and a broker's restart all of them.
	commitPatience = 5 * time.Second
	// commitReminder is the time between two log lines about commits that keep failing.
	commitReminder = time.Minute
)

// commits watches a member's commits of offsets, which the client makes in the background. Refused
// commits cost no effect: records are handled, and read again after a restart or a rebalance, which
// the inbox absorbs. But lag grows, and a restart takes ever longer.
type commits struct {
	group   string
	log     *slog.Logger
	refused prometheus.Counter
	now     func() time.Time

	mu     sync.Mutex
	err    error     // of the latest commit; nil when it was accepted
	since  time.Time // the first of the failures in a row
	logged time.Time // the latest log line
}

func (c *Consumer) watchCommits(group string) *commits {
	return &commits{group: group, log: c.log, refused: c.metrics.commits.WithLabelValues(group), now: time.Now}
}

// done is the client's callback for each commit.
func (w *commits) done(_ *kgo.Client, _ *kmsg.OffsetCommitRequest, answer *kmsg.OffsetCommitResponse, err error) {
	err = commitError(answer, err)
	w.mu.Lock()
	defer w.mu.Unlock()
	now := w.now()
	switch {
	case err == nil && w.err != nil:
		w.log.Info("offsets are committed again", "committing", w.group, "after", now.Sub(w.since).Round(time.Millisecond))
		w.err, w.logged = nil, time.Time{}
	case err != nil:
		w.refused.Inc()
		if w.err == nil {
			w.since = now
		}
		w.err = err
		if now.Sub(w.logged) >= commitReminder {
			w.logged = now
			w.log.Warn("offsets not committed; their records would be read again after a restart", "committing", w.group, "error", err)
		}
	}
}

// Trouble returns why offsets have not been committed for some seconds. It returns nil when they
// are.
func (w *commits) Trouble() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err == nil || w.now().Sub(w.since) < commitPatience {
		return nil
	}
	return fmt.Errorf("offsets of group %s are not committed since %s: %w", w.group, w.since.UTC().Format(time.RFC3339), w.err)
}

// commitError returns the first error of a commit. An answer may be good as a whole and refuse
// single partitions.
func commitError(answer *kmsg.OffsetCommitResponse, err error) error {
	if err != nil || answer == nil {
		return err
	}
	for _, t := range answer.Topics {
		for _, p := range t.Partitions {
			refusal := kerr.ErrorForCode(p.ErrorCode)
			if refusal == nil || errors.Is(refusal, kerr.RebalanceInProgress) {
				continue // the next commit, or the partition's next owner, makes up for it
			}
			return fmt.Errorf("%s/%d: %w", t.Topic, p.Partition, refusal)
		}
	}
	return nil
}

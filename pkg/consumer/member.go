package consumer

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"eventshop.example/pkg/errs"
)

// groupOptions returns the client options of a member of a consumer group.
func groupOptions(brokers []string, group string, topics []string, extra []kgo.Opt) []kgo.Opt {
	return append([]kgo.Opt{
		kgo.SeedBrokers(brokers...),
		kgo.ClientID(group),
		kgo.ConsumerGroup(group),
		kgo.ConsumeTopics(topics...),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		// Cooperative: a rebalance takes from a member only the partitions that it must give up.
		kgo.Balancers(kgo.CooperativeStickyBalancer()),
		// A killed member owns its partitions until its session ends, and its restarted process
		// waits for that. 6 s is the least that Apache Kafka allows by default. A member that was
		// merely slow costs a rebalance, not an effect.
		kgo.SessionTimeout(6 * time.Second),
		kgo.HeartbeatInterval(1500 * time.Millisecond),
		// Rebalances wait for the batch, so that the loop owns its partitions until the batch ends.
		kgo.BlockRebalanceOnPoll(),
		// Offsets are marked after the database commit and committed in the background. A crash in
		// between costs duplicates, which the inbox absorbs. This saves a broker round trip per
		// batch.
		kgo.AutoCommitMarks(),
		kgo.AutoCommitInterval(500 * time.Millisecond),
		// A resumed partition joins the next fetch only when the current fetch returns, so this
		// bounds how late a due retry is noticed.
		kgo.FetchMaxWait(250 * time.Millisecond),
		kgo.FetchMaxBytes(4 << 20), // with MaxBatch this bounds the memory of a backlog
		kgo.FetchMaxPartitionBytes(1 << 20),
	}, extra...)
}

// member is this process's part in one consumer group: its client and what the group has assigned
// to it. [join] creates it.
type member struct {
	*kgo.Client
	log     *slog.Logger
	commits *commits
	gone    func(topicPartition) // called when this member no longer owns a partition
	cut     context.CancelFunc   // ends the client's requests at once
	grace   time.Duration

	mu       sync.Mutex
	revoked  []topicPartition // revoked by the group, not yet dropped by the loop
	assigned bool             // the group has assigned partitions to this member

	// Used by the loop only:
	replaced map[string]bool         // topics that were created again
	paused   map[topicPartition]bool // partitions whose fetching is paused
}

// join creates the client. Its first poll joins the group.
func join(opts []kgo.Opt, log *slog.Logger, commits *commits, grace time.Duration, gone func(topicPartition)) (*member, error) {
	m := &member{log: log, commits: commits, grace: grace, gone: gone, replaced: map[string]bool{}, paused: map[topicPartition]bool{}}
	online, cut := context.WithCancel(context.Background())
	m.cut = cut
	client, err := kgo.NewClient(append(opts,
		kgo.WithContext(online),
		kgo.OnPartitionsAssigned(m.onAssigned),
		kgo.OnPartitionsRevoked(m.onRevoked),
		kgo.OnPartitionsLost(m.onLost),
		kgo.AutoCommitCallback(commits.done),
	)...)
	if err != nil {
		cut()
		return nil, errs.Wrap(errs.Invalid, err, "consumer: create Kafka client")
	}
	m.Client = client
	return m, nil
}

// leave commits the marked offsets and leaves the group. A broker that accepts connections and does
// not answer would block it for ever, so the client is cut off after the grace period. The group
// then removes the member when its session expires.
func (m *member) leave() {
	defer m.cut()
	left := make(chan struct{})
	go func() {
		defer close(left)
		flush, cancel := context.WithTimeout(context.Background(), m.grace)
		defer cancel()
		if err := m.CommitMarkedOffsets(flush); err != nil {
			m.log.Warn("offsets not committed at stop; their records will be read again", "error", err)
		}
		m.CloseAllowingRebalance()
	}()
	timeout := time.NewTimer(m.grace)
	defer timeout.Stop()
	select {
	case <-left:
	case <-timeout.C:
		m.cut()
		<-left
	}
}

// fetch polls for at most limit records until the given instant, or without end when some is false.
// An instant that has passed means that there is work already: fetch then takes the records that
// are buffered and returns. From its return until AllowRebalance no partition is taken away.
func (m *member) fetch(ctx context.Context, until time.Time, some bool, limit int) kgo.Fetches {
	var fetches kgo.Fetches
	switch {
	case some && !until.After(time.Now()):
		// A nil context asks kgo for a poll that does not wait. Such a poll does not block
		// rebalances when it finds nothing. A poll whose context has ended does.
		if limit > 0 {
			fetches = m.PollRecords(nil, limit) //nolint:SA1012 // kgo documents what it does with a nil context
		}
		if fetches.Empty() {
			ended, end := context.WithCancel(ctx)
			end()
			fetches = append(fetches, m.PollRecords(ended, 1)...)
		}
	case some:
		wait, cancel := context.WithDeadline(ctx, until)
		defer cancel()
		fetches = m.PollRecords(wait, limit)
	default:
		fetches = m.PollRecords(ctx, limit)
	}
	fetches.EachError(func(topic string, partition int32, err error) {
		if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, kgo.ErrClientClosed) {
			return
		}
		if errors.Is(err, kerr.UnknownTopicID) {
			m.replaced[topic] = true
			return
		}
		m.log.Warn("fetch failed; the client goes on trying", "topic", topic, "partition", partition, "error", err)
	})
	return fetches
}

// dropGone drops the entries of partitions that were taken away. The new owner reads their records
// from the committed offset.
func dropGone[T any](m *member, held map[topicPartition]T) {
	for _, tp := range m.takeRevoked() {
		delete(held, tp)
	}
}

// letGo allows rebalances until the next fetch. It also resubscribes to topics that were created
// again since the client first saw them, as after a broker lost its data. They are read from the
// offsets that the group has for them, which is from their beginning. The client by itself never
// reads a topic with another id (franz-go issue 908). Entries of the old topics are dropped.
func letGo[T any](m *member, held map[topicPartition]T) {
	m.AllowRebalance()
	for topic := range m.replaced {
		m.log.Warn("topic was made again; it is read from its beginning", "topic", topic)
		m.PurgeTopicsFromConsuming(topic)
		m.AddConsumeTopics(topic)
		maps.DeleteFunc(held, func(tp topicPartition, _ T) bool { return tp.topic == topic })
		// The next fetch may wait for nothing but this topic, so it must not stay paused.
		still := maps.Clone(m.paused)
		maps.DeleteFunc(still, func(tp topicPartition, _ bool) bool { return tp.topic == topic })
		m.pauseOnly(still)
	}
	clear(m.replaced)
}

// pauseOnly pauses the fetching of the given partitions and of no other. The client keeps a pause
// after it loses a partition, so this also resumes a partition that is gone and may come back.
func (m *member) pauseOnly(want map[topicPartition]bool) {
	pause, resume := map[string][]int32{}, map[string][]int32{}
	for tp := range want {
		if !m.paused[tp] {
			pause[tp.topic] = append(pause[tp.topic], tp.partition)
		}
	}
	for tp := range m.paused {
		if !want[tp] {
			resume[tp.topic] = append(resume[tp.topic], tp.partition)
		}
	}
	m.paused = want
	if len(pause) > 0 {
		m.PauseFetchPartitions(pause)
	}
	if len(resume) > 0 {
		m.ResumeFetchPartitions(resume)
	}
}

func (m *member) onAssigned(context.Context, *kgo.Client, map[string][]int32) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.assigned = true
}

// onRevoked commits the offsets whose effects the database has committed, so that the next owner
// starts right behind them. Then it passes the partitions to the loop, which drops them.
func (m *member) onRevoked(ctx context.Context, cl *kgo.Client, tps map[string][]int32) {
	if err := cl.CommitMarkedOffsets(ctx); err != nil {
		m.log.Warn("offsets not committed at revocation; their records will be read again", "error", err)
	}
	m.giveUp(tps)
}

// onLost is called when the group has removed this member.
func (m *member) onLost(_ context.Context, _ *kgo.Client, tps map[string][]int32) {
	m.mu.Lock()
	m.assigned = false
	m.mu.Unlock()
	m.giveUp(tps)
}

// giveUp passes partitions that this member no longer owns to the loop, which drops them.
func (m *member) giveUp(tps map[string][]int32) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for topic, partitions := range tps {
		for _, p := range partitions {
			tp := topicPartition{topic, p}
			m.revoked = append(m.revoked, tp)
			m.gone(tp)
		}
	}
}

func (m *member) takeRevoked() []topicPartition {
	m.mu.Lock()
	defer m.mu.Unlock()
	tps := m.revoked
	m.revoked = nil
	return tps
}

func (m *member) isAssigned() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.assigned
}

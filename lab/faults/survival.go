package faults

import (
	"context"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"

	"eventshop.example/local/broker"
	"eventshop.example/local/stack"
	"eventshop.example/ops/eventshop"
	"eventshop.example/ops/verify"
)

// unscathed records the services' processes and the number of retries before a fault that must not
// affect them. The check expects the same processes, no new retry, and no open dead letter.
func (t *trial) unscathed(ctx context.Context) (check func(ctx context.Context) error, err error) {
	survived, err := t.survivors()
	if err != nil {
		return nil, err
	}
	retries, err := broker.Count(ctx, t.admin, ".retry")
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context) error {
		if err := survived(); err != nil {
			return err
		}
		now, err := broker.Count(ctx, t.admin, ".retry")
		if err != nil {
			return err
		}
		t.expect(now == retries, "%d attempts were spent", now-retries)
		return t.noLetters(ctx)
	}, nil
}

// survivors records the services' processes. The check expects that none has ended, even if it was
// started again.
func (t *trial) survivors() (check func() error, err error) {
	before, err := t.pids()
	if err != nil {
		return nil, err
	}
	return func() error {
		now, err := t.pids()
		for name, pid := range before {
			t.expect(err != nil || now[name] == pid, "%s has ended: it was process %d, and is %d", name, pid, now[name])
		}
		return err
	}, nil
}

// pids returns the services' process ids.
func (t *trial) pids() (pids map[string]int, err error) {
	err = t.shop(func(s *stack.Stack) error {
		running, err := s.Running()
		pids = map[string]int{}
		for _, name := range eventshop.Services() {
			pids[name] = running[name]
		}
		return err
	})
	return pids, err
}

// noLetters expects that no group has an open dead letter.
func (t *trial) noLetters(ctx context.Context) error {
	n, err := t.openLetters(ctx)
	t.expect(err != nil || n == 0, "%d dead letters are open", n)
	return err
}

// restart stops a service with SIGTERM and starts it again. It calls begun between the start and
// readiness; begun may undo what keeps the service from being ready.
func (t *trial) restart(ctx context.Context, name string, begun func(ctx context.Context) error) error {
	if err := t.shop(func(s *stack.Stack) error { return s.Stop(ctx, name) }); err != nil {
		return err
	}
	start := t.once(func(ctx context.Context) error {
		return t.shop(func(s *stack.Stack) error { return s.Start(ctx, name) })
	})
	if begun == nil {
		return start(ctx)
	}
	started := make(chan error, 1)
	go func() { started <- start(ctx) }()
	if err := begun(ctx); err != nil {
		return err
	}
	return <-started
}

// caughtUp waits until groups have read and committed all records that are on their topics now.
func (t *trial) caughtUp(ctx context.Context, groups ...string) error {
	ends, err := t.admin.ListEndOffsets(ctx, eventTopics()...)
	if err == nil {
		err = ends.Error()
	}
	if err != nil {
		return err
	}
	for _, group := range groups {
		err := eventually(ctx, time.Minute, group+" has read everything", func(ctx context.Context) (bool, error) {
			committed, err := t.admin.FetchOffsets(ctx, group)
			if err != nil {
				return false, err
			}
			behind := false
			ends.Each(func(end kadm.ListedOffset) {
				if slices.Contains(verify.Readers(end.Topic), group) && end.Offset > 0 {
					at, ok := committed.Lookup(end.Topic, end.Partition)
					behind = behind || !ok || at.At < end.Offset
				}
			})
			return !behind, nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// onePerReader returns one dead letter for each group that reads a topic.
func onePerReader(topic string) map[string]int { return onePer(verify.Readers(topic)) }

// onePer returns one dead letter for each group.
func onePer(groups []string) map[string]int {
	want := map[string]int{}
	for _, group := range groups {
		want[group] = 1
	}
	return want
}

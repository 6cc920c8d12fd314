package broker_test

import (
	"context"
	"errors"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"eventshop.example/local/broker"
	"eventshop.example/pkg/event"
)

// become repeats the request until it returns the wanted error.
func become(t *testing.T, want error, ask func(ctx context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		err := ask(ctx)
		if errors.Is(err, want) {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("the broker answers %v, want %v", err, want)
		}
	}
}

func TestRefusesAKindOfRequestUntilItIsSwitchedOff(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	n.start(t)
	if err := broker.CreateTopics(t.Context(), n.cluster(), event.Topic{Name: "t", Partitions: 1}); err != nil {
		t.Fatal(err)
	}
	produce := func(ctx context.Context) error {
		return n.client(t).ProduceSync(ctx, &kgo.Record{Topic: "t", Value: []byte("v")}).FirstErr()
	}
	admin := kadm.NewClient(n.client(t))
	commit := func(ctx context.Context) error {
		offsets := kadm.Offsets{}
		offsets.Add(kadm.Offset{Topic: "t", Partition: 0, At: 1})
		answers, err := admin.CommitOffsets(ctx, "g", offsets)
		return errors.Join(err, answers.Error())
	}
	become(t, nil, produce)
	become(t, nil, commit)

	if err := broker.Refuse(n.dir, kmsg.Produce, kerr.InvalidTimestamp); err != nil {
		t.Fatal(err)
	}
	if err := broker.Refuse(n.dir, kmsg.OffsetCommit, kerr.InvalidCommitOffsetSize); err != nil {
		t.Fatal(err)
	}
	become(t, kerr.InvalidTimestamp, produce)
	become(t, kerr.InvalidCommitOffsetSize, commit)
	before, err := broker.Count(t.Context(), admin, "t")
	if err != nil {
		t.Fatal(err)
	}

	n.end(t, syscall.SIGKILL)
	n.start(t)
	become(t, kerr.InvalidTimestamp, produce)

	if err := broker.Obey(n.dir, kmsg.OffsetCommit); err != nil {
		t.Fatal(err)
	}
	become(t, nil, commit)
	become(t, kerr.InvalidTimestamp, produce)
	if after, err := broker.Count(t.Context(), admin, "t"); err != nil || after != before {
		t.Errorf("%d records, %v; a refused one was written to the %d", after, err, before)
	}
	if err := broker.Obey(n.dir, kmsg.Produce); err != nil {
		t.Fatal(err)
	}
	become(t, nil, produce)
	if err := broker.Obey(n.dir, kmsg.Produce); err != nil {
		t.Errorf("what is not refused: %v", err)
	}
}

func TestRefuseNeedsTheBrokersFolder(t *testing.T) {
	t.Parallel()
	if err := broker.Refuse(t.TempDir()+"/none", kmsg.Produce, kerr.InvalidTimestamp); err == nil {
		t.Error("a folder that is not there is no error")
	}
}

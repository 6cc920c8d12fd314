package relay

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// refuse reads a row of each key and refuses it.
func (b *bench) refuse(err error, keys ...string) {
	b.t.Helper()
	for _, r := range b.read(keys...) {
		b.refused(r, err, topicWide(err), b.now)
	}
}

// refusing describes the topics that accept no records.
func (b *bench) refusing() (all []string) {
	for _, one := range b.refusals(b.now) {
		all = append(all, fmt.Sprintf("%s for %s, %d keys: %v", one.topic, b.now.Sub(one.since), one.keys, one.err))
	}
	return all
}

func TestWhenATopicTakesNoRecords(t *testing.T) {
	t.Parallel()
	no, lately := errors.New("no"), errors.New("still no")
	pass := func(b *bench) { b.now = b.now.Add(refusesAllAfter) }
	for name, c := range map[string]struct {
		happens func(b *bench)
		want    string
	}{
		"one record": {func(b *bench) { b.refuse(no, "a"); pass(b); b.refuse(no, "a") }, "[]"},
		"two":        {func(b *bench) { b.refuse(no, "a", "b"); pass(b) }, "[]"},
		"three, just now": {func(b *bench) {
			b.refuse(no, "a", "b", "c")
			b.now = b.now.Add(refusesAllAfter - 1)
		}, "[]"},
		"three":                    {func(b *bench) { b.refuse(no, "a", "b", "c"); pass(b) }, "[t for 3s, 3 keys: no]"},
		"three, the latest reason": {func(b *bench) { b.refuse(no, "a", "b"); pass(b); b.refuse(lately, "c") }, "[t for 3s, 3 keys: still no]"},
		"three that we took back":  {func(b *bench) { b.refuse(kgo.ErrAborting, "a", "b", "c"); pass(b) }, "[]"},
		"three, and one was taken": {func(b *bench) { b.refuse(no, "a", "b", "c"); pass(b); b.acknowledged(b.read("d")[0], b.now) }, "[]"},
		"one was taken before": {func(b *bench) {
			b.acknowledged(b.read("d")[0], b.now)
			b.now = b.now.Add(1)
			b.refuse(no, "a", "b", "c")
			pass(b)
		}, "[t for 3s, 3 keys: no]"},
		"two before, two afterward": {func(b *bench) {
			b.refuse(no, "a", "b")
			b.acknowledged(b.read("d")[0], b.now)
			b.now = b.now.Add(1)
			b.refuse(no, "e", "f")
			pass(b)
		}, "[]"},
		"the topic": {func(b *bench) { b.refuse(kerr.InvalidTimestamp, "a") }, "[t for 0s, 0 keys: " + kerr.InvalidTimestamp.Error() + "]"},
		"the topic, for long": {func(b *bench) {
			b.refuse(kerr.InvalidTimestamp, "a")
			pass(b)
			b.refuse(kerr.InvalidTimestamp, "a")
		}, "[t for 3s, 0 keys: " + kerr.InvalidTimestamp.Error() + "]"},
		"the topic, until it takes one": {func(b *bench) {
			send := b.read("a", "b")
			b.refused(send[0], kerr.InvalidTimestamp, true, b.now)
			b.acknowledged(send[1], b.now)
		}, "[]"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			c.happens(b)
			if got := fmt.Sprint(b.refusing()); got != c.want {
				t.Errorf("%s, want %s", got, c.want)
			}
		})
	}
}

// Records that were refused while the topic accepted none become due soon after it accepts one, and
// only once: a record that the broker is right to refuse keeps its long pauses.
func TestWhatWasRefusedComesSoonWhenTheTopicTakesRecords(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.deferrals.pause = func(attempts int) time.Duration {
		if attempts == soonAttempts {
			return time.Second
		}
		return time.Minute
	}
	until := func(key string) time.Duration {
		return b.deferrals.keys[orderKey{topic: "t", key: key}].until.Sub(b.now)
	}
	b.refuse(errors.New("no"), "old")
	b.now = b.now.Add(time.Millisecond)
	b.acknowledged(b.read("x")[0], b.now)
	if got := until("old"); got != time.Second {
		t.Errorf("the first record taken after a refusal: it is tried in %s, want 1 s", got)
	}
	b.now = b.now.Add(time.Second)
	b.refuse(errors.New("no"), "old", "new")
	other := b.rows("other")[0]
	other.orderKey.topic = "u"
	b.refused(other, errors.New("no"), false, b.now)
	b.drainSignals()
	b.now = b.now.Add(time.Millisecond)
	b.acknowledged(b.read("x")[0], b.now)
	if got := until("old"); got < 50*time.Second {
		t.Errorf("the one refused beside others that were taken comes in %s", got)
	}
	if got := until("new"); got != time.Second || !signalled(b.reread) {
		t.Errorf("the one refused since then comes in %s, want 1 s, and the read loop to be told", got)
	}
	if got := b.deferrals.keys[orderKey{topic: "u", key: "other"}].until.Sub(b.now); got < 50*time.Second {
		t.Errorf("that of another topic comes in %s", got)
	}
}

// When a broker refuses all records, only a few refusals are logged.
func TestRefusalsOfManyKeysAreLoggedOfAFew(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	logged := func(key string) bool { return !b.refused(b.read(key)[0], errors.New("no"), false, b.now).unlogged }
	for i := range loggedKeys + 5 {
		if got := logged(fmt.Sprint(i)); got != (i < loggedKeys) {
			t.Errorf("refusal of key %d is logged: %t", i, got)
		}
	}
	b.acknowledged(b.read("x")[0], b.now)
	if !logged("y") {
		t.Error("the topic takes records again, and a refusal is not logged")
	}
}

func TestDescribedRefusals(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.refuse(errors.New("first"), "b")
	b.now = b.now.Add(time.Second)
	b.refuse(errors.New("second"), "a")
	b.refuse(kgo.ErrAborting, "taken back")
	b.refuse(kerr.InvalidTimestamp, "c")
	var got []string
	for _, one := range b.describe() {
		got = append(got, fmt.Sprintf("%s/%s %d %s", one.Topic, one.Key, one.Attempts, one.Reason))
	}
	if want := fmt.Sprint([]string{"t/ 1 " + kerr.InvalidTimestamp.Error(), "t/b 1 first", "t/a 1 second"}); fmt.Sprint(got) != want {
		t.Errorf("%v, want %s", got, want)
	}
	for i := range 2 * describedRefusals {
		b.refuse(errors.New("no"), fmt.Sprint(i))
	}
	if n := len(b.describe()); n != describedRefusals {
		t.Errorf("%d described", n)
	}
}

// A pause doubles up to its maximum and varies by half, so that records that were refused because
// of another record in their batch are sent in different batches.
func TestPause(t *testing.T) {
	t.Parallel()
	for attempts, middle := range map[int]time.Duration{0: minPause, 1: 2 * minPause, 5: 32 * minPause, 8: 256 * minPause, 9: maxPause, 1000: maxPause} {
		low, high := time.Duration(1<<62), time.Duration(0)
		for range 2000 {
			p := pause(attempts)
			low, high = min(low, p), max(high, p)
		}
		if low < middle/2 || high >= middle*3/2 || high-low < middle*9/10 {
			t.Errorf("after %d attempts: from %s to %s, want half to one and a half of %s", attempts, low, high, middle)
		}
	}
}

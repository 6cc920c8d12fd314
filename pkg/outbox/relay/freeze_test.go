package relay

import (
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"eventshop.example/pkg/kafkatest"
	"eventshop.example/pkg/outbox/outboxtest"
)

// process is a relay in a process of its own.
type process struct {
	cmd  *exec.Cmd
	done chan error
}

func (f *fixture) spawn(t *testing.T) *process {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	p := &process{cmd: exec.Command(exe), done: make(chan error, 1)}
	p.cmd.Env = append(os.Environ(), helperURL+"="+f.URL, helperBrokers+"="+strings.Join(f.brokers, ","))
	p.cmd.Stderr = os.Stderr
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { p.done <- p.cmd.Wait() }()
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill() // it has ended already, unless the test failed
	})
	return p
}

func (p *process) signal(t *testing.T, s syscall.Signal) {
	t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		t.Fatal(err)
	}
}

// A frozen process keeps its connections, its buffers and its leader state. Its lease expires,
// another relay publishes every row, and then the frozen process continues in the middle of its
// batch.
func TestFrozenAndThawedRelayLosesAndReordersNothing(t *testing.T) {
	t.Parallel()
	f := newFixture(t, kafkatest.Start(t, testTopic))
	for range 3 {
		frozen := f.spawn(t)
		f.Append(t, outboxtest.Keys(4000, 50)...)
		before := f.stats(t).Published
		kafkatest.Eventually(t, "the relay to be busy", func() bool {
			n := f.stats(t)
			return n.Published > before && n.Unpublished > 500
		})
		frozen.signal(t, syscall.SIGSTOP)

		second := f.start(t, Config{Lease: testLease, BatchSize: 100, MaxInFlight: 400, PollEvery: 20 * time.Millisecond})
		left := f.stats(t).Unpublished
		kafkatest.Eventually(t, "the second relay to get on", func() bool { return f.stats(t).Unpublished < left-200 })
		frozen.signal(t, syscall.SIGCONT) // while the second one is publishing
		f.Append(t, outboxtest.Keys(500, 50)...)
		f.awaitPublished(t)
		frozen.signal(t, syscall.SIGTERM)
		if err := <-frozen.done; err != nil {
			t.Errorf("the thawed relay ended with: %v", err)
		}
		second.stop(t)
	}
	t.Logf("%d repetitions", f.verify(t))
}

func TestKilledRelayIsReplacedWhenItsLeaseHasRunOut(t *testing.T) {
	t.Parallel()
	f := newFixture(t, kafkatest.Start(t, testTopic))
	killed := f.spawn(t)
	f.Append(t, outboxtest.Keys(3000, 30)...)
	kafkatest.Eventually(t, "the relay to be busy", func() bool { return f.stats(t).Published > 100 })
	killed.signal(t, syscall.SIGKILL)
	<-killed.done
	f.start(t, Config{Lease: testLease})
	f.awaitPublished(t)
	t.Logf("%d repetitions", f.verify(t))
}

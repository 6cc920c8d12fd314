package journal

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

type note struct {
	Text string `json:"text"`
}

func open(t *testing.T, path string) (*Journal[note], []string) {
	t.Helper()
	var texts []string
	j, err := Open(path, func(_ Position, n note) error {
		texts = append(texts, n.Text)
		return nil
	})
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	return j, texts
}

func write(t *testing.T, j *Journal[note], texts ...string) {
	t.Helper()
	for _, text := range texts {
		at, err := j.Write(note{text})
		if err != nil {
			t.Fatalf("Write: %v", err)
		}
		if err := j.Sync(at); err != nil {
			t.Fatalf("Sync: %v", err)
		}
	}
}

func closeJournal(t *testing.T, j *Journal[note]) {
	t.Helper()
	if err := j.Close(); err != nil {
		t.Fatalf("Close: %v", err)
	}
}

func TestEntriesAreReplayedInOrder(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal.jsonl")
	j, _ := open(t, path)
	write(t, j, "one", "two\nlines", "three")
	closeJournal(t, j)

	j, got := open(t, path)
	defer closeJournal(t, j)
	if diff := cmp.Diff([]string{"one", "two\nlines", "three"}, got); diff != "" {
		t.Fatalf("replayed (-want +got):\n%s", diff)
	}
	if at, err := j.Write(note{"four"}); err != nil || at != 4 {
		t.Fatalf("Write after replay = %d, %v; want position 4", at, err)
	}
}

// A crash during a write can leave any prefix of the last line.
func TestUnfinishedLastLineIsCutOff(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal.jsonl")
	j, _ := open(t, path)
	write(t, j, "kept")
	kept := size(t, path)
	write(t, j, "torn, and much longer than what is written in its place")
	closeJournal(t, j)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for end := kept; end < int64(len(whole)); end++ {
		if err := os.WriteFile(path, whole[:end], 0o600); err != nil {
			t.Fatal(err)
		}
		j, got := open(t, path)
		if diff := cmp.Diff([]string{"kept"}, got); diff != "" {
			t.Fatalf("cut at %d: replayed (-want +got):\n%s", end, diff)
		}
		if got := size(t, path); got != kept {
			t.Fatalf("cut at %d: the file has %d bytes once it is open, want %d", end, got, kept)
		}
		write(t, j, "next")
		closeJournal(t, j)
		j, got = open(t, path)
		closeJournal(t, j)
		if diff := cmp.Diff([]string{"kept", "next"}, got); diff != "" {
			t.Fatalf("cut at %d: after another write (-want +got):\n%s", end, diff)
		}
	}
}

func size(t *testing.T, path string) int64 {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info.Size()
}

func TestDamageIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal.jsonl")
	j, _ := open(t, path)
	write(t, j, "first", "second", "third")
	closeJournal(t, j)
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.SplitAfter(string(raw), "\n")
	damage := map[string]string{
		"changed entry":     strings.Replace(string(raw), "second", "sekond", 1),
		"changed last line": strings.Replace(string(raw), "third", "thirt", 1),
		"missing line":      lines[0] + lines[2],
		"doubled line":      lines[0] + lines[0] + lines[1],
		"half a line":       lines[0] + lines[1][:10] + "\n" + lines[2],
		"empty line":        lines[0] + "\n" + lines[1],
	}
	for name, content := range damage {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "journal.jsonl")
			if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := Open(path, func(Position, note) error { return nil })
			if err == nil || !strings.Contains(err.Error(), "damaged at line") {
				t.Fatalf("Open = %v, want damage with its line", err)
			}
			if got, _ := os.ReadFile(path); string(got) != content {
				t.Fatal("the refused file was changed")
			}
		})
	}
}

func TestSecondProcessIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal.jsonl")
	j, _ := open(t, path)
	defer closeJournal(t, j)
	if _, err := Open(path, func(Position, note) error { return nil }); err == nil {
		t.Fatal("a journal in use was opened a second time")
	}
}

func TestConcurrentCallersShareAnFsync(t *testing.T) {
	j, _ := open(t, filepath.Join(t.TempDir(), "journal.jsonl"))
	defer closeJournal(t, j)
	var (
		syncs   int
		started = make(chan struct{})
		release = make(chan struct{})
	)
	j.fsync = func() error {
		syncs++ // flush runs in one caller at a time
		if syncs == 1 {
			close(started)
			<-release
		}
		return j.file.Sync()
	}
	var all sync.WaitGroup
	all.Go(func() { write(t, j, "first") })
	<-started
	const others = 20
	for range others {
		all.Go(func() { write(t, j, "other") })
	}
	eventually(t, func() bool { return j.Last() == 1+others })
	close(release)
	all.Wait()
	if syncs != 2 {
		t.Fatalf("%d fsyncs for 1 + %d entries, want 2", syncs, others)
	}
}

func TestFailedFsyncIsFinal(t *testing.T) {
	j, _ := open(t, filepath.Join(t.TempDir(), "journal.jsonl"))
	broken := errors.New("disk gone")
	j.fsync = func() error { return broken }
	at, err := j.Write(note{"lost"})
	if err != nil {
		t.Fatal(err)
	}
	if err := j.Sync(at); !errors.Is(err, broken) {
		t.Fatalf("Sync = %v, want the fsync's error", err)
	}
	j.fsync = func() error { return nil }
	if err := j.Sync(at); !errors.Is(err, broken) {
		t.Fatalf("Sync after a failed fsync = %v, want the same error", err)
	}
	if _, err := j.Write(note{"late"}); !errors.Is(err, broken) {
		t.Fatalf("Write after a failed fsync = %v, want the same error", err)
	}
	select {
	case <-j.Failed():
	default:
		t.Fatal("Failed is not closed")
	}
}

func eventually(t *testing.T, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	deadline := time.After(10 * time.Second)
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatal("condition not met in 10 s")
		}
	}
}

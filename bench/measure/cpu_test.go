package measure

import (
	"os"
	"strings"
	"testing"
	"time"
)

func TestParseStat(t *testing.T) {
	t.Parallel()
	s, err := parseStat([]byte("7 (a) b (c) S 3 7 7 0 -1 4194560 1 2 3 4 100 20 3 1 20 0 8 0 99 1 2\n"))
	if err != nil || s.parent != 3 || s.spent != 1240*time.Millisecond {
		t.Errorf("%+v, %v", s, err)
	}
	if _, err := parseStat([]byte("7 (a) S 3")); err == nil {
		t.Error("a line that is cut off is read")
	}
}

func TestSpentGrowsWithWork(t *testing.T) {
	t.Parallel()
	if _, err := os.Stat("/proc/self/stat"); err != nil {
		t.Skip("no /proc here")
	}
	self := map[string]int{"self": os.Getpid()}
	before, err := Spent(self)
	if err != nil {
		t.Fatal(err)
	}
	for {
		now, err := Spent(self)
		if err != nil {
			t.Fatal(err)
		}
		if now["self"] > before["self"] {
			return
		}
	}
}

func TestSpentNamesAProcessThatIsNotThere(t *testing.T) {
	t.Parallel()
	if _, err := Spent(map[string]int{"payment": 1 << 30}); err == nil || !strings.Contains(err.Error(), "payment") {
		t.Errorf("got %v", err)
	}
}

func TestBelow(t *testing.T) {
	t.Parallel()
	all := map[int]stat{1: {}, 5: {parent: 1}, 6: {parent: 5}, 9: {parent: 1}}
	for pid, want := range map[int]bool{5: true, 6: true, 9: false, 1: false} {
		if below(all, pid, 5) != want {
			t.Errorf("below(%d, 5) is not %t", pid, want)
		}
	}
}

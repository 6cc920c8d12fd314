package measure

import (
	"strings"
	"testing"
)

func TestParseMemory(t *testing.T) {
	t.Parallel()
	const status = "Name:\torder\nVmPeak:\t 1300000 kB\nVmRSS:\t   37200 kB\nRssAnon:\t   11700 kB\nRssFile:\t   25500 kB\nRssShmem:\t       0 kB\nThreads:\t11\n"
	got, err := parseMemory(strings.NewReader(status))
	if err != nil {
		t.Fatal(err)
	}
	if want := (Memory{All: 37200 << 10, Anonymous: 11700 << 10, File: 25500 << 10}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

// A zombie reports no memory; a sum without it would be too low.
func TestParseMemoryOfAProcessThatEnded(t *testing.T) {
	t.Parallel()
	if m, err := parseMemory(strings.NewReader("Name:\torder\nState:\tZ (zombie)\n")); err == nil {
		t.Errorf("got %+v, want an error", m)
	}
}

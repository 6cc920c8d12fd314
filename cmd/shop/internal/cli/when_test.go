package cli

import (
	"strings"
	"testing"
	"time"
)

func TestParseWhen(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC)
	for s, want := range map[string]time.Time{
		"":                          {},
		"1h":                        now.Add(-time.Hour),
		"1h30m":                     now.Add(-90 * time.Minute),
		"90s":                       now.Add(-90 * time.Second),
		"0s":                        now,
		"7d":                        now.AddDate(0, 0, -7),
		"2026-01-31":                time.Date(2026, 1, 31, 0, 0, 0, 0, time.UTC),
		"2026-01-31T12:00:00Z":      time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC),
		"2026-01-31T12:00:00+02:00": time.Date(2026, 1, 31, 10, 0, 0, 0, time.UTC),
		"2026-01-31T12:00:00.5Z":    time.Date(2026, 1, 31, 12, 0, 0, 5e8, time.UTC),
	} {
		got, err := parseWhen("since", s, now)
		if err != nil || !got.Equal(want) {
			t.Errorf("%q: %s, %v", s, got, err)
		}
	}
	for _, s := range []string{"yesterday", "-1h", "-1d", "d", "1.5d", "99999d", "1", "31.01.2026", "2026-01-31 12:00", "2026-13-01"} {
		if got, err := parseWhen("since", s, now); err == nil || !strings.Contains(err.Error(), "--since") {
			t.Errorf("%q: %s, %v", s, got, err)
		}
	}
}

func TestSpans(t *testing.T) {
	t.Parallel()
	for d, want := range map[time.Duration]string{
		-time.Second: "0s", 0: "0s", 59900 * time.Millisecond: "59s", time.Minute: "1m00s", 61 * time.Second: "1m01s",
		90 * time.Minute: "1h30m", 47 * time.Hour: "47h00m", 50 * time.Hour: "2d02h",
	} {
		if got := span(d); got != want {
			t.Errorf("%s: %s, want %s", d, got, want)
		}
	}
}

func TestLinesAreSafeForATerminal(t *testing.T) {
	t.Parallel()
	for s, want := range map[string]string{
		"": "-", "a\nb\tc": "a b c", "\x1b[31mred": "·[31mred", "né": "né", "abcdefghijk": "abcdefghi…", "a\u202eb": "a·b", "\xff": "\uFFFD",
	} {
		if got := line(s, 10); got != want {
			t.Errorf("%q: %q, want %q", s, got, want)
		}
	}
}

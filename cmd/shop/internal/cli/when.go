package cli

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// parseWhen parses a time: an age ("90s", "1h30m", "7d"), a day in UTC ("2026-01-31"), or RFC 3339
// ("2026-01-31T12:00:00Z"). "" is the zero time.
func parseWhen(flag, s string, now time.Time) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	if ago, err := parseSpan(s); err == nil {
		return now.Add(-ago), nil
	}
	for _, layout := range []string{time.RFC3339Nano, time.DateOnly} {
		if t, err := time.Parse(layout, s); err == nil {
			return t, nil
		}
	}
	return time.Time{}, fmt.Errorf("--%s: %q is neither a time ago, such as 1h or 7d, nor a time such as %s", flag, s, now.UTC().Format(time.RFC3339))
}

// parseSpan parses a duration as time.ParseDuration does, and also days ("7d").
func parseSpan(s string) (time.Duration, error) {
	if days, ok := strings.CutSuffix(s, "d"); ok {
		n, err := strconv.ParseUint(days, 10, 16)
		if err != nil {
			return 0, fmt.Errorf("%q is no duration", s)
		}
		return time.Duration(n) * 24 * time.Hour, nil
	}
	d, err := time.ParseDuration(s)
	if err != nil || d < 0 {
		return 0, fmt.Errorf("%q is no duration", s)
	}
	return d, nil
}

// span formats a duration in one or two units, for people.
func span(d time.Duration) string {
	switch {
	case d < 0:
		return "0s"
	case d < time.Minute:
		return fmt.Sprintf("%ds", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%dm%02ds", int(d.Minutes()), int(d.Seconds())%60)
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh%02dm", int(d.Hours()), int(d.Minutes())%60)
	}
	return fmt.Sprintf("%dd%02dh", int(d.Hours())/24, int(d.Hours())%24)
}

// since formats the time from then to now, "-" if then is unknown.
func since(then, now time.Time) string {
	if then.IsZero() {
		return "-"
	}
	return span(now.Sub(then))
}

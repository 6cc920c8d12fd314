package service

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// sample has a field for each type of setting.
type sample struct {
	Addr, Mode, CA string
	Brokers        []string
	N              int
	D              time.Duration
	B              bool
	Level          slog.Level
	Pair           [2]string
}

func (s *sample) settings() []Setting {
	pair := func(text string) ([2]string, error) {
		left, right, ok := strings.Cut(text, "=")
		if !ok && text != "" {
			return [2]string{}, fmt.Errorf("PAIR: %q is not LEFT=RIGHT", text)
		}
		return [2]string{left, right}, nil
	}
	return []Setting{
		Required("ADDR", &s.Addr, "host:port"),
		RequiredList("BROKERS", &s.Brokers, "of the cluster"),
		Text("MODE", &s.Mode, "run", "`run` or `wait`"),
		File("CA", &s.CA, "the system's roots", "PEM"),
		Int("N", &s.N, 6, 1, 10, "attempts"),
		Duration("D", &s.D, 168*time.Hour, "pause"),
		Bool("B", &s.B, true, "whether"),
		LogLevel(&s.Level),
		Parsed("PAIR", &s.Pair, "`LEFT=RIGHT`", "none", pair, "two words"),
	}
}

func fine() error { return nil }

func TestSettingsAreReadAndListed(t *testing.T) {
	t.Parallel()
	var got sample
	err := Read(lookup(map[string]string{
		"ADDR": " :1 ", "BROKERS": "a:1, b:2", "MODE": "wait", "CA": "/ca.pem", "N": "7", "D": "90s", "B": "false", "LOG_LEVEL": "debug", "PAIR": "l=r",
	}), got.settings(), fine)
	want := sample{
		Addr: ":1", Brokers: []string{"a:1", "b:2"}, Mode: "wait", CA: "/ca.pem", N: 7, D: 90 * time.Second, Level: slog.LevelDebug, Pair: [2]string{"l", "r"},
	}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("all set: %v %s", err, diff)
	}

	got = sample{}
	err = Read(lookup(map[string]string{"ADDR": ":1", "BROKERS": "a:1"}), got.settings(), fine)
	want = sample{Addr: ":1", Brokers: []string{"a:1"}, N: 6, D: 168 * time.Hour, B: true}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("defaults: %v %s", err, diff)
	}

	table := `| variable | value | default | meaning |
|---|---|---|---|
| ` + "`ADDR`" + ` | text | required | host:port |
| ` + "`BROKERS`" + ` | list, comma between | required | of the cluster |
| ` + "`MODE`" + ` | text | run | ` + "`run` or `wait`" + ` |
| ` + "`CA`" + ` | file | the system's roots | PEM |
| ` + "`N`" + ` | integer from 1 to 10 | 6 | attempts |
| ` + "`D`" + ` | duration | 168h | pause |
| ` + "`B`" + ` | ` + "`true` or `false`" + ` | true | whether |
| ` + "`LOG_LEVEL`" + ` | ` + "`debug`, `info`, `warn` or `error`" + ` | info | the least level that is logged |
| ` + "`PAIR`" + ` | ` + "`LEFT=RIGHT`" + ` | none | two words |
`
	if diff := cmp.Diff(table, Table(got.settings())); diff != "" {
		t.Error(diff)
	}
}

// TestReadNamesEveryMistake covers mistakes of single settings, of values in a notation of their
// own, and of combinations of values.
func TestReadNamesEveryMistake(t *testing.T) {
	t.Parallel()
	var s sample
	err := Read(lookup(map[string]string{"N": "11", "D": "soon", "PAIR": "alone"}), s.settings(), func() error { return errors.New("MODE and CA do not fit") })
	for _, says := range []string{"ADDR is required", "BROKERS is required", "N must be", "D must be", `PAIR: "alone"`, "MODE and CA do not fit"} {
		if err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%v does not say %q", err, says)
		}
	}
}

func TestShortDuration(t *testing.T) {
	t.Parallel()
	for d, want := range map[time.Duration]string{
		100 * time.Millisecond: "100ms", 30 * time.Second: "30s", time.Minute: "1m", 90 * time.Second: "1m30s", time.Hour: "1h",
		90 * time.Minute: "1h30m", 168 * time.Hour: "168h", 10 * time.Second: "10s", 20 * time.Minute: "20m",
	} {
		if got := shortDuration(d); got != want {
			t.Errorf("%d: %q, want %q", d, got, want)
		}
	}
}

func ExampleRead() {
	var addr string
	var every time.Duration
	settings := []Setting{
		Required("ADDR", &addr, "host:port of HTTP"),
		Duration("EVERY", &every, time.Minute, "pause between two looks"),
	}
	env := map[string]string{"EVERY": "soon"}
	fmt.Println(Read(func(name string) (string, bool) { v, ok := env[name]; return v, ok }, settings, func() error { return nil }))
	fmt.Print(Table(settings))
	// Output:
	// environment variable ADDR is required
	// environment variable EVERY must be a positive duration like "5m" or "250ms", not "soon"
	// | variable | value | default | meaning |
	// |---|---|---|---|
	// | `ADDR` | text | required | host:port of HTTP |
	// | `EVERY` | duration | 1m | pause between two looks |
}

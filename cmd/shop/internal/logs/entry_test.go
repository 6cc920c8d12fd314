package logs

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// at returns a time of 2026-11-29, in UTC.
func at(t *testing.T, clock string) time.Time {
	t.Helper()
	parsed, err := time.Parse(time.RFC3339Nano, "2026-11-29T"+clock+"Z")
	if err != nil {
		t.Fatal(err)
	}
	return parsed
}

// TestFormats has a line of each program of a shop in the program's formats.
func TestFormats(t *testing.T) {
	t.Parallel()
	east := time.FixedZone("", 2*60*60)
	for name, c := range map[string]struct {
		line, clock, message string
		level                Level
	}{
		"service":          {`{"time":"2026-11-29T03:19:20.417086887Z","level":"WARN","msg":"service starts","service":"carrier"}`, "03:19:20.417086887", "service starts", Warn},
		"zone in JSON":     {`{"time":"2026-11-29T05:19:20+02:00","level":"INFO","msg":"m"}`, "03:19:20", "m", Info},
		"other names":      {`{"@timestamp":"2026-11-29T03:19:20Z","severity":"critical","message":"m"}`, "03:19:20", "m", Error},
		"start":            {`--- broker started 2026-11-29T03:18:41.919970008Z`, "03:18:41.919970008", "broker started", Info},
		"embedded broker":  {`2026/11/29 05:18:42 ERROR broker listens addrs=[127.0.0.1:1]`, "03:18:42", "broker listens addrs=[127.0.0.1:1]", Error},
		"postgres":         {`2026-11-29 03:18:44.117 UTC [12039] LOG:  starting PostgreSQL 15.18`, "03:18:44.117", "starting PostgreSQL 15.18", Info},
		"postgres fatal":   {`2026-11-29 03:18:44.117 UTC [12039] FATAL:  no more`, "03:18:44.117", "no more", Error},
		"postgres at home": {`2026-11-29 05:18:44.117 EET [12039] WARNING:  clock`, "03:18:44.117", "clock", Warn},
		"Kafka":            {`2026-11-29T05:18:44,117 WARN  Unable to write (kafka.log.Log)`, "03:18:44.117", "Unable to write (kafka.log.Log)", Warn},
		"Kafka's own":      {`[2026-11-29 05:18:44,117] INFO started (kafka.server.KafkaServer)`, "03:18:44.117", "started (kafka.server.KafkaServer)", Info},
		"registry":         {"2026-11-29 05:18:44,117\tkarapace.schema\tMainThread\tERROR\tno leader", "03:18:44.117", "karapace.schema\tMainThread\tERROR\tno leader", Error},
		"docker and text":  {`2026-11-29T03:18:44.117000000Z WARN something`, "03:18:44.117", "something", Warn},
		"docker and JSON":  {`2026-11-29T03:18:45Z {"time":"2026-11-29T03:18:44.5Z","level":"ERROR","msg":"m"}`, "03:18:44.5", "m", Error},
		"offset":           {`2026-11-29T04:18:44+01:00 DEBUG m`, "03:18:44", "m", Debug},
	} {
		got := newParser("p", east).parse([]string{c.line})
		if len(got) != 1 || got[0].Continued || !got[0].Time.Equal(at(t, c.clock)) || got[0].Message != c.message || got[0].Level != c.level {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

func TestWhatBelongsToALine(t *testing.T) {
	t.Parallel()
	p := newParser("payment", time.UTC)
	got := p.parse([]string{
		"goroutine 7 [running]:", // the log begins in the middle of an entry
		`{"time":"2026-11-29T03:00:00Z","level":"INFO","msg":"a"}`,
		"panic: runtime error",
		"",
		"goroutine 1 [running]:",
		"2026-11-29 03:00:01.000 UTC [1] ERROR:  duplicate key",
		"2026-11-29 03:00:01.000 UTC [1] DETAIL:  Key (id)=(1) already exists.",
		"{not JSON",
		`{"level":"INFO","msg":"no time"}`,
		`{"time":"2026-11-29T03:00:02Z","level":"INFO","msg":"two"} {"a":1}`,
		"2026-99-99 03:00:01 INFO no day",
	})
	var shape []string
	for _, e := range got {
		shape = append(shape, strings.Join(append([]string{e.Level.String(), e.Message}, e.More...), "|"))
	}
	want := []string{
		"DEBUG||goroutine 7 [running]:",
		"INFO|a",
		"ERROR|panic: runtime error||goroutine 1 [running]:",
		"ERROR|duplicate key|2026-11-29 03:00:01.000 UTC [1] DETAIL:  Key (id)=(1) already exists.|{not JSON|" +
			`{"level":"INFO","msg":"no time"}|{"time":"2026-11-29T03:00:02Z","level":"INFO","msg":"two"} {"a":1}|2026-99-99 03:00:01 INFO no day`,
	}
	if diff := cmp.Diff(want, shape); diff != "" {
		t.Error(diff)
	}
	if !got[2].Time.Equal(at(t, "03:00:00")) {
		t.Errorf("a panic is as old as the line before it, not of %s", got[2].Time)
	}
	more := p.parse([]string{"\tdetail", "2026-11-29T03:00:05Z INFO b"})
	if !more[0].Continued || !more[0].Time.Equal(at(t, "03:00:01")) || more[0].Level != Error || more[1].Continued {
		t.Errorf("what belongs to the latest entry: %+v", more)
	}
}

// TestNothingReachesTheTerminal: other programs may write any characters.
func TestNothingReachesTheTerminal(t *testing.T) {
	t.Parallel()
	p := newParser("order", time.UTC)
	lines := []string{
		`{"time":"2026-11-29T03:00:00Z","level":"INFO","msg":"a\u001b[2J\r\nb","service":"order","k\u0007ey":"v\u001b","list":["x y"],"n":1.50,"empty":"","plain":"abc"}`,
		"more \x1b[31m\xff\x00\u202e",
	}
	e := p.parse(lines)[0]
	got := Line(e, 8, e.Time, plain)
	want := e.Time.Local().Format("15:04:05.000") + `  order     INFO   "a\x1b[2J\r\nb"  "k\aey"="v\x1b"  list=["x y"]  n=1.50  empty=""  plain=abc` + "\n    more ·[31m�··\n"
	if diff := cmp.Diff(strings.ReplaceAll(want, "�", "·"), strings.ReplaceAll(got, "�", "·")); diff != "" {
		t.Error(diff)
	}
	if strings.ContainsAny(got, "\x1b\x00\r\a\u202e") {
		t.Errorf("%q", got)
	}
	b, err := JSON(e)
	if err != nil || strings.ContainsAny(string(b), "\x1b\x00\n") || !json.Valid(b) {
		t.Errorf("%q %v", b, err)
	}
}

func TestJSON(t *testing.T) {
	t.Parallel()
	p := newParser("payment-2", time.UTC)
	got := p.parse([]string{
		`{"time":"2026-11-29T03:00:00Z", "level":"INFO", "msg":"a <b>", "process":"x", "amount":12345678901234567890}`, "more",
		"2026-11-29T03:00:01Z WARN b",
	})
	got = append(got, p.parse([]string{"late"})...)
	want := []string{
		`{"process":"payment-2","time":"2026-11-29T03:00:00Z","level":"INFO","msg":"a <b>","amount":12345678901234567890,"lines":["more"]}`,
		`{"process":"payment-2","time":"2026-11-29T03:00:01Z","level":"WARN","msg":"b"}`,
		`{"process":"payment-2","continued":true,"time":"2026-11-29T03:00:01Z","level":"WARN","lines":["late"]}`,
	}
	for i, e := range got {
		if b, err := JSON(e); err != nil || string(b) != want[i] {
			t.Errorf("%s, want %s: %v", b, want[i], err)
		}
	}
	if text := Line(got[1], 9, at(t, "12:00:00").AddDate(0, 0, 2), plain); !strings.HasPrefix(text, got[1].Time.Local().Format("2006-01-02 15:04:05.000")+"  payment-2  WARN   b\n") {
		t.Errorf("of another day: %q", text)
	}
}

func plain(level string) string { return level }

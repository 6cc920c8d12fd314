package cli_test

import (
	"encoding/base64"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"eventshop.example/ops/operators"
	"eventshop.example/ops/operators/opstest"
)

func TestDLQList(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	if out := s.must("dlq", "list"); out != "no dead letters\n" {
		t.Error(out)
	}
	second := s.order.Add(2, "key-2")
	second.Edited, second.Followers, second.CreatedAt = true, 3, time.Now().Add(-90*time.Minute)
	s.payment.Add(1, "key-1").ErrorMessage = "first line\x1b[2J and what a terminal would obey"
	s.payment.Add(3, "key-3").Status = operators.Resolved

	rows := words(s.must("dlq", "list"))
	want := [][]string{
		{"ID", "GROUP", "TYPE", "KEY", "CLASS", "TRIES", "WAIT", "AGE"},
		{opstest.ID(1), "payment", "OrderCreated", "key-1", "internal", "5", "0"},
		{"status", "open,", "error", "first", "line·[2J", "and", "what", "a", "terminal", "would", "obey"},
		{opstest.ID(2), "order", "OrderCreated", "key-2", "internal", "5", "3", "1h30m"},
		{"status", "open,", "edited,", "error", "boom"},
	}
	if len(rows) == 5 {
		rows[1] = rows[1][:7]
	}
	if diff := cmp.Diff(want, rows); diff != "" {
		t.Error(diff)
	}
	if out := s.must("dlq", "list"); strings.ContainsRune(out, '\x1b') || !strings.Contains(out, "first line·[2J and") {
		t.Errorf("%q", out)
	}

	for what, c := range map[string]struct {
		args []string
		want []int
	}{
		"group":  {[]string{"--group", "order"}, []int{2}},
		"status": {[]string{"--status", "all"}, []int{1, 2, 3}},
		"key":    {[]string{"--key", "key-1"}, []int{1}},
		"type":   {[]string{"--type", "OrderCancelled"}, nil},
		"since":  {[]string{"--since", "2h"}, []int{2}},
		"until":  {[]string{"--until", "2026-01-02"}, []int{1}},
		"limit":  {[]string{"--limit", "1"}, []int{1}},
	} {
		got := decode(t, s.must(append([]string{"dlq", "list", "--json"}, c.args...)...))
		var ids, want []string
		for _, d := range got["deadLetters"].([]any) {
			ids = append(ids, d.(map[string]any)["id"].(string))
		}
		for _, n := range c.want {
			want = append(want, opstest.ID(n))
		}
		if diff := cmp.Diff(want, ids); diff != "" || (got["truncated"] == true) != (what == "limit") {
			t.Errorf("%s: %s %v", what, diff, got["truncated"])
		}
	}
	s.fails([]string{"dlq", "list", "--group", "nobody"}, `"nobody"`, "order, payment")
	s.fails([]string{"dlq", "list", "--status", "closed"}, `"closed"`)
	s.fails([]string{"dlq", "list", "--since", "yesterday"}, "--since", `"yesterday"`)
}

func TestDLQListNamesWhoIsDown(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	s.order.Add(1, "key-1")
	s.paymentIsDown()
	out := s.fails([]string{"dlq", "list"}, "payment cannot be asked", "connection refused")
	s.has(out, opstest.ID(1))
	out = s.fails([]string{"dlq", "list", "--json"}, "payment")
	missing := decode(t, out)["unreachable"].([]any)
	if len(missing) != 1 || missing[0].(map[string]any)["name"] != "payment" {
		t.Errorf("%v", missing)
	}
}

func TestDLQShow(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	d := s.payment.Add(1, "key-1")
	d.ErrorMessage, d.ErrorStack = "two\nlines", "goroutine 7\n\tmain.go:1"
	d.EventID, d.Followers = "0199-event", 2
	bytes := base64.StdEncoding.EncodeToString([]byte{0xff, 0xfe})
	d.Headers = append(d.Headers, operators.Header{Key: d.Headers[0].Key, ValueBase64: &bytes})
	key, plain := "key-2", "AAEC"
	d.Edited = true
	d.EditedRecord = &operators.Record{Key: &key, PayloadBase64: &plain, DecodeError: "no schema"}
	d.Actions = append(d.Actions, operators.Action{At: d.CreatedAt, Actor: "ada", Action: "edited", Detail: "typo"})

	out := s.must("dlq", "show", opstest.ID(1))
	s.has(out, "status     open, edited", "group      payment", "event id   0199-event",
		"order.events, partition 3, offset 1", "2 records of its key behind it",
		"error\n  two\n  lines\n", "stack\n  goroutine 7\n  \tmain.go:1\n",
		"original headers\n  ce_type = OrderCreated\n  ce_type = base64://4=\n",
		"original payload\n  {\n    \"orderId\": \"key-1\"\n  }\n",
		"edited key\n  key-2\n", "cannot be decoded: no schema", "00 01 02",
		"ada           edited: typo")
	if v := decode(t, s.must("dlq", "show", opstest.ID(1), "--json")); v["editedRecord"].(map[string]any)["key"] != "key-2" {
		t.Errorf("%v", v)
	}

	// A part of an id is enough while it matches only one dead letter, of any status.
	s.order.Add(0x0202, "key-3").Status = operators.Discarded
	s.has(s.must("dlq", "show", "00000001"), opstest.ID(1))
	s.has(s.must("dlq", "show", strings.ToUpper(opstest.ID(1)[:14])), opstest.ID(1))
	s.fails([]string{"dlq", "show", opstest.ID(1)[:8]}, "ambiguous", opstest.ID(1), opstest.ID(0x0202))
	s.fails([]string{"dlq", "show", "abcdef"}, "no group has")
	s.fails([]string{"dlq", "show", "all"}, "neither the id")
	s.paymentIsDown()
	s.fails([]string{"dlq", "show", "0202"}, "payment cannot be asked")
}

func TestDLQStatsAndParked(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	s.has(s.must("parked"), "no parked keys")
	s.payment.Add(1, "key-1").CreatedAt = time.Now().Add(-49 * time.Hour)
	s.payment.Add(2, "key-2").Status = operators.Resubmitted
	s.payment.Parked = []operators.ParkedKey{
		{Topic: "order.events", Key: opstest.Key("key-1"), State: operators.Dead, Head: opstest.ID(1), EventType: "OrderCreated", Attempts: 5, ParkedAt: time.Now().Add(-49 * time.Hour), Followers: 4, LastError: "boom"},
		{Topic: "order.events", KeyBase64: "//4=", State: operators.Retrying, Head: "x", EventType: "OrderCreated", Attempts: 2, NotBefore: time.Now().Add(90 * time.Second), LastError: "later"},
	}
	rows := words(s.must("dlq", "stats"))
	want := [][]string{
		{"GROUP", "OPEN", "RESUBMITTED", "OLDEST", "RETRYING", "DEAD", "WAITING", "OVERDUE"},
		{"order", "0", "0", "-", "0", "0", "0", "0"},
		{"payment", "1", "1", "2d01h", "1", "1", "4", "0"},
		nil, {"open:"},
		{"GROUP", "TYPE", "CLASS", "OPEN"},
		{"payment", "OrderCreated", "internal", "1"},
	}
	if diff := cmp.Diff(want, rows, cmp.Transformer("empty", func(w []string) string { return strings.Join(w, " ") })); diff != "" {
		t.Error(diff)
	}
	if v := decode(t, s.must("dlq", "stats", "--json")); len(v["groups"].([]any)) != 2 {
		t.Errorf("%v", v)
	}
	for _, args := range [][]string{{"parked"}, {"dlq", "parked"}} {
		out := s.must(args...)
		s.has(out, opstest.ID(1), "base64://4=", "in 1m", "boom", "later")
		if n := strings.Count(out, "\n"); n != 5 { // a heading, and two lines per key
			t.Errorf("%d lines:\n%s", n, out)
		}
	}
	s.has(s.must("parked", "--group", "order"), "no parked keys")
	s.has(s.must("parked", "--limit", "1"), "payment may have more than these 1")
	if v := decode(t, s.must("parked", "--json")); len(v["parkedKeys"].([]any)) != 2 {
		t.Errorf("%v", v)
	}
	s.paymentIsDown()
	s.has(s.fails([]string{"dlq", "stats"}, "payment cannot be asked"), "order    0", "payment  ?")
}

func TestHelpTeaches(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	for _, c := range []struct{ command, part string }{
		{"dlq", "parked"}, {"dlq list", "--since"}, {"dlq show", "beginning"}, {"dlq edit", "$EDITOR"}, {"dlq resubmit", "one effect"},
		{"dlq discard", "cannot be taken back"}, {"dlq stats", "OVERDUE"}, {"parked", "DEAD-LETTER"}, {"saga", "breaker"},
		{"saga list", "deadline"}, {"saga retry", "exit code"}, {"outbox", "relay"}, {"outbox stats", "UNPUBLISHED"}, {"outbox republish", "lost its data"},
	} {
		out := s.must(append(strings.Fields(c.command), "--help")...)
		s.has(out, c.part)
		for l := range strings.Lines(out) {
			if before, _, _ := strings.Cut(l, "   "); !strings.HasPrefix(l, "      --") && !strings.HasPrefix(l, "  -") && len([]rune(before)) > 100 {
				t.Errorf("shop %s --help has a line too wide: %s", c.command, l)
			}
		}
	}
	for _, args := range [][]string{{"dlq", "lst"}, {"saga", "lst"}, {"dlq", "list", "x"}} {
		if out, err := s.run(args...); err == nil {
			t.Errorf("%v succeeds: %s", args, out)
		}
	}
}

func TestBeforeTheShopHasOperators(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	s.operators(nil)
	s.fails([]string{"dlq", "list"}, "no ports for operators")
	s.state = t.TempDir()
	s.fails([]string{"dlq", "list"}, "there is no shop in")
}

func post(n int, what, actor, body string) string {
	return fmt.Sprintf("POST /dead-letters/%s/%s %s %s", opstest.ID(n), what, actor, body)
}

package telemetry_test

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"eventshop.example/pkg/telemetry"
)

const parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

func TestRecordsCarryTheIDsOfTheContext(t *testing.T) {
	ctx := telemetry.With(t.Context(), "", "", "corr-1")
	ctx = telemetry.With(ctx, "parcel-1", "event-1", "")
	ctx = telemetry.WithTrace(ctx, parent, "")
	ids := map[string]any{
		"parcelId": "parcel-1", "eventId": "event-1", "correlationId": "corr-1", "traceId": "4bf92f3577b34da6a3ce929d0e0e4736",
	}
	tests := map[string]struct {
		log  func(*slog.Logger)
		want map[string]any
	}{
		"plain":      {func(l *slog.Logger) { l.InfoContext(ctx, "m", "a", 1) }, with(ids, "level", "INFO", "a", 1.0)},
		"with attrs": {func(l *slog.Logger) { l.With("a", 1).ErrorContext(ctx, "m") }, with(ids, "level", "ERROR", "a", 1.0)},
		"group":      {func(l *slog.Logger) { l.WithGroup("g").InfoContext(ctx, "m") }, map[string]any{"level": "INFO", "g": ids}},
		"no ids":     {func(l *slog.Logger) { l.WarnContext(context.Background(), "m") }, map[string]any{"level": "WARN"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			var buf bytes.Buffer
			log := telemetry.NewLogger(&buf, "lockers", "parcelId", slog.LevelInfo)
			log.DebugContext(ctx, "too fine")
			tt.log(log)
			var got map[string]any
			if err := json.Unmarshal(buf.Bytes(), &got); err != nil {
				t.Fatalf("%v: %s", err, buf.Bytes())
			}
			if got["time"] == nil {
				t.Error("no time")
			}
			delete(got, "time")
			if diff := cmp.Diff(with(tt.want, "msg", "m", "service", "lockers"), got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// with returns a copy of m with more pairs.
func with(m map[string]any, pairs ...any) map[string]any {
	out := map[string]any{}
	for k, v := range m {
		out[k] = v
	}
	for i := 0; i < len(pairs); i += 2 {
		out[pairs[i].(string)] = pairs[i+1]
	}
	return out
}

func TestWithLeavesTheOuterContextAlone(t *testing.T) {
	outer := telemetry.With(t.Context(), "parcel-1", "", "corr-1")
	inner := telemetry.With(outer, "parcel-2", "event-2", "")
	if diff := cmp.Diff(telemetry.IDs{Subject: "parcel-1", CorrelationID: "corr-1"}, telemetry.FromContext(outer)); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(telemetry.IDs{Subject: "parcel-2", EventID: "event-2", CorrelationID: "corr-1"}, telemetry.FromContext(inner)); diff != "" {
		t.Error(diff)
	}
}

func TestValidTraceParent(t *testing.T) {
	for s, want := range map[string]bool{
		parent:                               true,
		"cc" + parent[2:]:                    true, // a later version
		"cc" + parent[2:] + "-more":          true,
		parent + "-more":                     false, // version 00 has no more
		"cc" + parent[2:] + "more":           false,
		"ff" + parent[2:]:                    false,
		strings.ToUpper(parent):              false,
		parent[:54]:                          false,
		"":                                   false,
		strings.ReplaceAll(parent, "-", "_"): false,
		"00-" + strings.Repeat("0", 32) + "-00f067aa0ba902b7-01":  false,
		"00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01": false,
		"00-4bf92f3577b34da6a3ce929d0e0e473g-00f067aa0ba902b7-01": false,
		"cc" + parent[2:] + "-" + strings.Repeat("x", 300):        false,
	} {
		if got := telemetry.ValidTraceParent(s); got != want {
			t.Errorf("ValidTraceParent(%q) = %v", s, got)
		}
	}
}

func TestTraceParents(t *testing.T) {
	form := regexp.MustCompile(`^00-[0-9a-f]{32}-[0-9a-f]{16}-01$`)
	a, b := telemetry.NewTraceParent(), telemetry.NewTraceParent()
	if !form.MatchString(a) || !telemetry.ValidTraceParent(a) || telemetry.TraceID(a) == telemetry.TraceID(b) {
		t.Errorf("new: %s, %s", a, b)
	}
	unsampled := parent[:53] + "00"
	child := telemetry.ChildTraceParent(unsampled)
	if telemetry.TraceID(child) != telemetry.TraceID(parent) || child[36:52] == parent[36:52] || child[53:] != "00" {
		t.Errorf("child of %s: %s", unsampled, child)
	}
	if later := telemetry.ChildTraceParent("cc" + parent[2:] + "-more"); !form.MatchString(later) || telemetry.TraceID(later) != telemetry.TraceID(parent) {
		t.Errorf("child of a later version: %s", later)
	}
	if fresh := telemetry.ChildTraceParent("rubbish"); !form.MatchString(fresh) {
		t.Errorf("child of rubbish: %s", fresh)
	}
	if id := telemetry.TraceID("rubbish"); id != "" {
		t.Errorf("trace id %s of rubbish", id)
	}
}

func TestTraceOfAContext(t *testing.T) {
	for name, tt := range map[string]struct{ parent, state, wantParent, wantState string }{
		"both":       {parent, "vendor=1", parent, "vendor=1"},
		"bad state":  {parent, "vendor=\n", parent, ""},
		"long state": {parent, strings.Repeat("x", 513), parent, ""},
		"bad parent": {"rubbish", "vendor=1", "", ""},
	} {
		gotParent, gotState := telemetry.Trace(telemetry.WithTrace(t.Context(), tt.parent, tt.state))
		if gotParent != tt.wantParent || gotState != tt.wantState {
			t.Errorf("%s: %q, %q", name, gotParent, gotState)
		}
	}
}

// TestContinue: work is a child of its cause, and starts a trace when the cause is unknown.
func TestContinue(t *testing.T) {
	for name, tt := range map[string]struct {
		parent, state, wantState string
		child                    bool
	}{
		"both":       {parent, "vendor=1", "vendor=1", true},
		"unsampled":  {parent[:53] + "00", "", "", true},
		"later":      {"cc" + parent[2:] + "-more", "vendor=1", "vendor=1", true},
		"bad state":  {parent, "vendor=\n", "", true},
		"bad parent": {"rubbish", "vendor=1", "", false},
		"none":       {"", "", "", false},
	} {
		outer := telemetry.WithTrace(t.Context(), "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "outer=1")
		got, state := telemetry.Trace(telemetry.Continue(outer, tt.parent, tt.state))
		switch {
		case !telemetry.ValidTraceParent(got) || state != tt.wantState:
			t.Errorf("%s: %q, %q", name, got, state)
		case tt.child && (telemetry.TraceID(got) != telemetry.TraceID(parent) || got[36:52] == parent[36:52] || got[53:] != tt.parent[53:55]):
			t.Errorf("%s: %s is no child of %s", name, got, tt.parent)
		case !tt.child && (telemetry.TraceID(got) == telemetry.TraceID(parent) || telemetry.TraceID(got) == "0af7651916cd43dd8448eb211c80319c"):
			t.Errorf("%s: %s is no new trace", name, got)
		}
	}
}

// TestChildOf: the result has the trace of the parent and the span of own.
func TestChildOf(t *testing.T) {
	own := telemetry.NewTraceParent()
	got, state := telemetry.ChildOf(parent, "vendor=1", own)
	if !telemetry.ValidTraceParent(got) || telemetry.TraceID(got) != telemetry.TraceID(parent) || got[36:52] != own[36:52] || got[53:] != parent[53:55] || state != "vendor=1" {
		t.Errorf("%s, %q is no child of %s by %s", got, state, parent, own)
	}
	if got, state := telemetry.ChildOf("rubbish", "vendor=1", own); got != own || state != "" {
		t.Errorf("%s, %q, want %s", got, state, own)
	}
}

func TestRegistriesAreSeparate(t *testing.T) {
	for range 2 { // a second one must not clash with the first
		families, err := telemetry.NewRegistry().Gather()
		if err != nil {
			t.Fatal(err)
		}
		names := map[string]bool{}
		for _, f := range families {
			names[f.GetName()] = true
		}
		if !names["go_goroutines"] || !names["process_resident_memory_bytes"] {
			t.Errorf("missing metrics in %v", names)
		}
	}
}

// TestAnAttributeOfARecordIsNotDoubled: JSON with a name twice has no agreed meaning.
func TestAnAttributeOfARecordIsNotDoubled(t *testing.T) {
	var buf bytes.Buffer
	ctx := telemetry.With(t.Context(), "parcel-1", "", "")
	telemetry.NewLogger(&buf, "lockers", "parcelId", slog.LevelInfo).InfoContext(ctx, "m", telemetry.KeySubject, "parcel-2")
	if got := buf.String(); strings.Count(got, "parcelId") != 1 || !strings.Contains(got, "parcel-2") {
		t.Error(got)
	}
}

// TestConcerns: the subject of a request becomes known late, and log lines of the whole request
// contain it from then on.
func TestConcerns(t *testing.T) {
	var buf bytes.Buffer
	log := telemetry.NewLogger(&buf, "lockers", "parcelId", slog.LevelInfo)
	outer := telemetry.WithSubject(telemetry.With(t.Context(), "", "", "corr-1"))
	inner := telemetry.With(outer, "", "event-1", "")
	log.InfoContext(outer, "before")
	telemetry.Concerns(inner, "parcel-1")
	log.InfoContext(outer, "after")
	log.InfoContext(inner, "inside")
	log.InfoContext(telemetry.With(inner, "parcel-2", "", ""), "another")
	telemetry.Concerns(t.Context(), "parcel-3") // no request: the call has no effect
	lines := strings.Split(buf.String(), "\n")
	for i, want := range []string{"", `"parcelId":"parcel-1"`, `"parcelId":"parcel-1"`, `"parcelId":"parcel-2"`} {
		if want == "" && strings.Contains(lines[i], "parcelId") || !strings.Contains(lines[i], want) {
			t.Errorf("line %d is %s, want %s", i, lines[i], want)
		}
	}
}

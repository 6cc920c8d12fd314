package telemetry

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"strings"
)

type traceKey struct{}

type trace struct{ parent, state string }

// WithTrace returns a context that carries a W3C trace context. It ignores an invalid traceparent
// and its tracestate.
func WithTrace(ctx context.Context, traceParent, traceState string) context.Context {
	if !ValidTraceParent(traceParent) {
		return ctx
	}
	if !validTraceState(traceState) {
		traceState = "" // as W3C recommends: drop an invalid state, keep the parent
	}
	return context.WithValue(ctx, traceKey{}, trace{traceParent, traceState})
}

// Continue returns a context for work that traceParent's owner caused. The context carries the same
// trace with a span id of the work's own, and traceState. When traceParent is not valid, the work
// starts a trace. Events and calls that the work causes carry the result of [Trace], so that the
// work is their parent.
func Continue(ctx context.Context, traceParent, traceState string) context.Context {
	if !ValidTraceParent(traceParent) {
		traceState = "" // it belongs to an unknown parent
	}
	return WithTrace(ctx, ChildTraceParent(traceParent), traceState)
}

// Trace returns the trace context that ctx carries; empty strings if none.
func Trace(ctx context.Context) (traceParent, traceState string) {
	t, _ := ctx.Value(traceKey{}).(trace)
	return t.parent, t.state
}

// NewTraceParent starts a trace: "00-<trace id>-<parent id>-01", with random ids and the sampled
// flag set (W3C Trace Context, level 1).
func NewTraceParent() string {
	var id [16]byte
	random(id[:])
	return "00-" + hex.EncodeToString(id[:]) + "-" + newParentID() + "-01"
}

// ChildTraceParent returns a traceparent of the same trace, version 00 and flags
// with a parent id of its own. It starts a new trace when parent is not valid.
func ChildTraceParent(parent string) string {
	if !ValidTraceParent(parent) {
		return NewTraceParent()
	}
	return "00-" + TraceID(parent) + "-" + newParentID() + "-" + parent[53:55]
}

// ChildOf returns the trace context of work that parent's owner caused: the trace of parent with
// the parent id of own. own is a traceparent that was created for the work before its cause was
// known. When parent is not valid, own starts a trace, and state is dropped.
func ChildOf(parent, state, own string) (traceParent, traceState string) {
	if !ValidTraceParent(parent) {
		return own, ""
	}
	return "00-" + TraceID(parent) + own[35:52] + "-" + parent[53:55], state
}

// TraceID returns the trace id in a traceparent, 32 hex digits, or "" when the
// traceparent is not valid.
func TraceID(traceParent string) string {
	if !ValidTraceParent(traceParent) {
		return ""
	}
	return traceParent[3:35]
}

// ValidTraceParent reports whether s is a traceparent: lower-case hex, no all-zero id, version not
// ff; a version above 00 may have more after the flags.
func ValidTraceParent(s string) bool {
	// version(2)-trace id(32)-parent id(16)-flags(2)
	if len(s) < 55 || len(s) > 255 || s[2] != '-' || s[35] != '-' || s[52] != '-' {
		return false
	}
	version, traceID, parentID, flags := s[:2], s[3:35], s[36:52], s[53:55]
	if !lowerHex(version) || !lowerHex(traceID) || !lowerHex(parentID) || !lowerHex(flags) {
		return false
	}
	if version == "ff" || strings.Trim(traceID, "0") == "" || strings.Trim(parentID, "0") == "" {
		return false
	}
	if len(s) == 55 {
		return true
	}
	return version != "00" && s[55] == '-'
}

// validTraceState checks bounds and does not parse: printable ASCII, and at most the 512 characters
// that the W3C recommendation asks carriers to keep.
func validTraceState(s string) bool {
	return len(s) <= 512 && !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r > '~' })
}

func lowerHex(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool {
		return (r < '0' || r > '9') && (r < 'a' || r > 'f')
	})
}

func newParentID() string {
	var id [8]byte
	random(id[:])
	return hex.EncodeToString(id[:])
}

// random fills b and ensures that it is not all zero, which is not a valid id.
func random(b []byte) {
	rand.Read(b) // never returns an error (crypto/rand)
	b[len(b)-1] |= 1
}

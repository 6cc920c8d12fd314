// Package errs is the one vocabulary of error kinds. A kind defines what the receiver of an error
// should do. The two edges of a service translate it: the HTTP edge into a status, the Kafka edge
// into the outcome of a record.
//
//	kind       HTTP status                Kafka outcome
//	Internal   500, logged as an error    the record fails: retried, then dead letter
//	Invalid    422, names the fields      the record fails: retried, then dead letter
//	NotFound   404                        the record fails: retried, then dead letter
//	Conflict   409                        the record fails: retried (a newer read may settle it)
//	Transient  503 with Retry-After       the partition pauses and retries with backoff
//	Hopeless   422, logged as a warning   dead letter at once: no retry can help
//
// It guarantees that a kind survives any wrapping with %w, and that the outermost kind wins, so
// that code which knows more may set another kind. It does not decide what is logged; that happens
// once, at the edge. It cannot fail.
package errs

import (
	"context"
	"errors"
	"fmt"
	"net"
)

// Kind defines what the receiver of an error should do about it. The zero value is Internal: an
// error without a kind is a fault of this program.
type Kind int

const (
	// Internal is a fault of this program or an error without a kind. HTTP 500. Kafka: the record
	// fails.
	Internal Kind = iota
	// Invalid is input that breaks a rule; repeating it unchanged cannot help. HTTP 422 (400 where
	// the request is malformed). Kafka: the record fails.
	Invalid
	// NotFound means that what was asked for does not exist, at least not yet. HTTP 404. Kafka: the
	// record fails, since what it needs may come later.
	NotFound
	// Conflict means that the present state does not allow it, or that another writer was faster.
	// HTTP 409. Kafka: the record is tried again.
	Conflict
	// Transient means that something needed is down, slow or overloaded; the same request can
	// succeed later. HTTP 503. Kafka: the partition pauses and retries.
	Transient
	// Hopeless means that no retry and no later state can make it succeed, such as bytes that are
	// no event. HTTP 422. Kafka: dead letter at once.
	Hopeless
)

// String returns the kind's name in lower case, as logs, metrics labels and dead-letter headers
// contain it.
func (k Kind) String() string {
	switch k {
	case Internal:
		return "internal"
	case Invalid:
		return "invalid"
	case NotFound:
		return "not_found"
	case Conflict:
		return "conflict"
	case Transient:
		return "transient"
	case Hopeless:
		return "hopeless"
	}
	return fmt.Sprintf("kind(%d)", int(k))
}

// kinded adds a kind to an error without changing its text.
type kinded struct {
	kind    Kind
	err     error
	derived bool // by a rule that knows the error and not what was attempted
}

func (e *kinded) Error() string { return e.err.Error() }
func (e *kinded) Unwrap() error { return e.err }

// New returns an error of a kind. The format is that of fmt.Errorf: %w wraps.
func New(kind Kind, format string, args ...any) error {
	return &kinded{kind: kind, err: fmt.Errorf(format, args...)}
}

// Derive adds a kind that follows from what err is and not from what was attempted, as package
// postgres does by the SQLSTATE. The kind counts as any other. [Derived] distinguishes it from a
// kind set by code that knows the input. A nil err stays nil.
func Derive(kind Kind, err error) error {
	if err == nil {
		return nil
	}
	return &kinded{kind: kind, err: err, derived: true}
}

// Derived reports whether the kind that [KindOf] returns comes from [Derive].
func Derived(err error) bool {
	k, ok := errors.AsType[*kinded](err)
	return ok && k.derived
}

// Wrap adds a kind and what was attempted to err: "reserve stock: …". A nil err stays nil.
func Wrap(kind Kind, err error, what string) error {
	if err == nil {
		return nil
	}
	return &kinded{kind: kind, err: fmt.Errorf("%s: %w", what, err)}
}

// KindOf returns the outermost kind in err's chain. Without one, an exceeded deadline and errors of
// the network are Transient. Everything else is Internal, including nil and context.Canceled (the
// caller left; nothing is down). Of joined errors the first that has a kind decides.
func KindOf(err error) Kind {
	if k, ok := errors.AsType[*kinded](err); ok {
		return k.kind
	}
	if _, ok := errors.AsType[*fieldError](err); ok {
		return Invalid
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return Transient
	}
	if n, ok := errors.AsType[net.Error](err); ok && !errors.Is(n, context.Canceled) {
		return Transient
	}
	return Internal
}

// FieldError names one field of the input and what is wrong with it.
type FieldError struct {
	// Field is the path from the root of the input in the names of the wire format:
	// "items[0].quantity". Empty means the input as a whole.
	Field string `json:"field"`
	// Detail completes the sentence "the field …": "must be at least 1".
	Detail string `json:"detail"`
}

type fieldError struct{ FieldError }

func (e *fieldError) Error() string {
	if e.FieldError.Field == "" {
		return e.Detail
	}
	return e.FieldError.Field + ": " + e.Detail
}

// Field returns an Invalid error about one field. errors.Join combines several; [Fields] finds them
// all.
func Field(field, format string, args ...any) error {
	return &fieldError{FieldError{field, fmt.Sprintf(format, args...)}}
}

// Fields returns every field error in err's chain, in order; nil if none.
func Fields(err error) []FieldError {
	switch e := err.(type) { //nolint:errorlint // every error of the chain is looked at
	case nil:
		return nil
	case *fieldError:
		return []FieldError{e.FieldError}
	case interface{ Unwrap() error }:
		return Fields(e.Unwrap())
	case interface{ Unwrap() []error }:
		var all []FieldError
		for _, inner := range e.Unwrap() {
			all = append(all, Fields(inner)...)
		}
		return all
	}
	return nil
}

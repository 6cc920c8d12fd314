package errs_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"

	"eventshop.example/pkg/errs"
)

func TestKindOf(t *testing.T) {
	dial := &net.OpError{Op: "dial", Err: errors.New("connection refused")}
	tests := map[string]struct {
		err  error
		want errs.Kind
	}{
		"nil":                       {nil, errs.Internal},
		"plain":                     {errors.New("x"), errs.Internal},
		"made":                      {errs.New(errs.Conflict, "version %d", 3), errs.Conflict},
		"made, wrapped":             {fmt.Errorf("append: %w", errs.New(errs.Conflict, "x")), errs.Conflict},
		"wrapped":                   {errs.Wrap(errs.Hopeless, errors.New("x"), "decode"), errs.Hopeless},
		"outermost wins":            {errs.Wrap(errs.Internal, errs.New(errs.Transient, "x"), "boot"), errs.Internal},
		"kind inside %w":            {errs.New(errs.Invalid, "a: %w", dial), errs.Invalid},
		"deadline":                  {fmt.Errorf("charge: %w", context.DeadlineExceeded), errs.Transient},
		"deadline of a file":        {os.ErrDeadlineExceeded, errs.Transient},
		"network":                   {fmt.Errorf("charge: %w", dial), errs.Transient},
		"http client":               {&url.Error{Op: "Get", URL: "http://x", Err: dial}, errs.Transient},
		"cancelled":                 {context.Canceled, errs.Internal},
		"cancelled http client":     {&url.Error{Op: "Get", URL: "http://x", Err: context.Canceled}, errs.Internal},
		"field":                     {errs.Field("sku", "is unknown"), errs.Invalid},
		"field, wrapped":            {fmt.Errorf("place: %w", errs.Field("sku", "is unknown")), errs.Invalid},
		"field, restated":           {errs.Wrap(errs.Hopeless, errs.Field("sku", "is unknown"), "x"), errs.Hopeless},
		"joined: the first decides": {errors.Join(errors.New("x"), errs.New(errs.NotFound, "y"), errs.New(errs.Conflict, "z")), errs.NotFound},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if got := errs.KindOf(tt.err); got != tt.want {
				t.Errorf("KindOf(%v) = %v, want %v", tt.err, got, tt.want)
			}
		})
	}
}

func TestTextAndChain(t *testing.T) {
	cause := errors.New("connection reset")
	err := errs.Wrap(errs.Transient, cause, "reserve stock")
	if got, want := err.Error(), "reserve stock: connection reset"; got != want {
		t.Errorf("text %q, want %q", got, want)
	}
	if !errors.Is(err, cause) || !errors.Is(errs.New(errs.Invalid, "a: %w", cause), cause) {
		t.Error("the cause is no longer in the chain")
	}
	if err := errs.Wrap(errs.Transient, nil, "reserve stock"); err != nil {
		t.Errorf("wrapping no error gave %v", err)
	}
}

func TestFields(t *testing.T) {
	quantity := errs.Field("items[0].quantity", "must be at least %d", 1)
	currency := errs.Field("currency", "is unknown")
	want := []errs.FieldError{
		{Field: "items[0].quantity", Detail: "must be at least 1"},
		{Field: "currency", Detail: "is unknown"},
	}
	joined := fmt.Errorf("place order: %w", errors.Join(quantity, errs.Wrap(errs.Invalid, currency, "check")))
	if diff := cmp.Diff(want, errs.Fields(joined)); diff != "" {
		t.Error(diff)
	}
	if got := errs.Fields(errors.New("x")); got != nil {
		t.Errorf("fields %v of an error without any", got)
	}
	if got := errs.Fields(nil); got != nil {
		t.Errorf("fields %v of nil", got)
	}
	if got, want := quantity.Error(), "items[0].quantity: must be at least 1"; got != want {
		t.Errorf("text %q, want %q", got, want)
	}
	if got, want := errs.Field("", "is empty").Error(), "is empty"; got != want {
		t.Errorf("text %q, want %q", got, want)
	}
}

func TestKindString(t *testing.T) {
	seen := map[string]bool{}
	for k := errs.Internal; k <= errs.Hopeless; k++ {
		if seen[k.String()] {
			t.Errorf("two kinds are called %s", k)
		}
		seen[k.String()] = true
	}
	if got := errs.Kind(99).String(); got != "kind(99)" || seen[got] {
		t.Errorf("an unknown kind is called %s", got)
	}
}

func TestDerived(t *testing.T) {
	cause := errors.New("duplicate key")
	err := errs.Derive(errs.Conflict, cause)
	if errs.KindOf(err) != errs.Conflict || err.Error() != cause.Error() || !errors.Is(err, cause) {
		t.Errorf("kind %v of %v, want Conflict with the cause's text and chain", errs.KindOf(err), err)
	}
	for name, tt := range map[string]struct {
		err  error
		want bool
	}{
		"nil":                        {errs.Derive(errs.Conflict, nil), false},
		"derived":                    {err, true},
		"derived, wrapped":           {fmt.Errorf("append: %w", err), true},
		"given":                      {errs.New(errs.Conflict, "taken: %w", cause), false},
		"given over what is derived": {errs.Wrap(errs.Conflict, err, "append"), false},
		"no kind":                    {cause, false},
	} {
		if got := errs.Derived(tt.err); got != tt.want {
			t.Errorf("%s: derived %v, want %v", name, got, tt.want)
		}
	}
}

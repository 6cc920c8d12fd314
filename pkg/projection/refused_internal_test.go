package projection

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	"eventshop.example/pkg/errs"
	"eventshop.example/pkg/retry"
)

// TestWhoseFaultAWriteIs: what ends by itself for all versions is no version's fault.
func TestWhoseFaultAWriteIs(t *testing.T) {
	state := func(code string) error { return fmt.Errorf("save: %w", &pgconn.PgError{Code: code}) }
	for name, tt := range map[string]struct {
		err  error
		want bool
	}{
		"a check constraint":    {state("23514"), true},
		"a value out of range":  {state("22003"), true},
		"a missing table":       {state("42P01"), true},
		"no privilege":          {state("42501"), true},
		"a missing schema":      {state("3F000"), true},
		"a lock not obtained":   {state("55P03"), true},
		"a slow statement":      {state("57014"), true},
		"a damaged index":       {state("XX002"), true},
		"not encoded":           {errors.New("failed to encode args[1]"), true},
		"not in time":           {fmt.Errorf("save: %w", context.DeadlineExceeded), true},
		"a deadlock":            {state("40P01"), false},
		"a full disk":           {state("53100"), false},
		"a server that stops":   {state("57P01"), false},
		"a read-only server":    {state("25006"), false},
		"a broken connection":   {errs.New(errs.Transient, "conn closed"), false},
		"a process that ends":   {fmt.Errorf("save: %w", context.Canceled), false},
		"too many transactions": {state("54000"), true},
	} {
		if got := ofTheVersion(&refusal{error: tt.err}); got != tt.want {
			t.Errorf("%s: %t, want %t", name, got, tt.want)
		}
	}
}

// TestRefusalsAreBounded: more than the memory holds are forgotten, and remembered when they come again.
func TestRefusalsAreBounded(t *testing.T) {
	var s refusals
	at := func(offset int64) retry.Place { return retry.Place{Topic: "t", Offset: offset} }
	v := id{"totals", 2}
	refuse := func(offset int64) bool {
		return s.remember(&refusal{version: v, places: []retry.Place{at(offset)}, error: errors.New("no")})
	}
	for offset := range int64(mostRemembered) {
		if !refuse(offset) || offset == 1 && refuse(1) {
			t.Fatalf("offset %d is not remembered once", offset)
		}
	}
	refuse(mostRemembered)
	if s.n > mostRemembered || s.of(v, at(0)) != nil || s.of(v, at(mostRemembered)) == nil {
		t.Errorf("%d are remembered", s.n)
	}
	if s.of(id{"totals", 1}, at(mostRemembered)) != nil {
		t.Error("another version refuses the record")
	}
}

package faults

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"eventshop.example/lab/load"
	"eventshop.example/local/registry"
	"eventshop.example/local/stack"
)

// registryRefuses are faults of a schema registry that answers wrongly or not at all.
func registryRefuses() []Fault {
	const family = "registry refuses"
	return []Fault{
		{Name: "registry-denies-ids", Family: family, run: registryDenies,
			Done:   "the schema registry denies every id it has (404, 40403) while a service starts with none known, then knows them again",
			Expect: "records wait for their schemas; no dead letter"},
		{Name: "registry-read-only", Family: family, run: registryReadOnly,
			Done:   "services start again while the registry is read-only (422, 42205), and while it forbids whatever is no GET (403)",
			Expect: "all schemas are there: ready, orders go on"},
		{Name: "registry-hangs", Family: family, run: registryHangs,
			Done:   "the registry accepts requests and never answers, a service starts meanwhile",
			Expect: "records of known schemas go on; the one that starts says for what it waits, then goes on"},
	}
}

// breakRegistry makes the embedded registry faulty, until mend or the end of the fault.
func (t *trial) breakRegistry(ctx context.Context, f registry.Fault) (mend func(ctx context.Context) error, err error) {
	if t.file.RegistrySource.External() {
		return nil, fmt.Errorf("only the embedded schema registry can be told to refuse: this shop has %s", t.file.RegistrySource)
	}
	if err := t.call(ctx, http.MethodPut, stack.Registry, "/faults", f, nil); err != nil {
		return nil, err
	}
	return t.once(func(ctx context.Context) error {
		return t.call(ctx, http.MethodDelete, stack.Registry, "/faults", nil, nil)
	}), nil
}

func registryDenies(ctx context.Context, t *trial) error {
	if err := t.startLoad(ctx); err != nil {
		return err
	}
	mend, err := t.breakRegistry(ctx, registry.Fault{Denies: true})
	if err != nil {
		return err
	}
	const cold = "payment"
	var ids []string
	err = t.restart(ctx, cold, func(ctx context.Context) (err error) {
		if ids, err = t.placeOwn(ctx, load.Order{}, delivered); err != nil {
			return err
		}
		if err := t.unready(ctx, "schema", cold); err != nil {
			return err
		}
		if err := pass(ctx, t.sizes.Hold); err != nil {
			return err
		}
		if err := mend(ctx); err != nil {
			return err
		}
		t.over(ctx)
		return nil
	})
	if err != nil {
		return err
	}
	t.see("%s ready %.1f s after the registry knew again", cold, time.Since(t.healed).Seconds())
	if err := t.reach(ctx, ids, delivered); err != nil {
		return err
	}
	return t.noLetters(ctx)
}

func registryReadOnly(ctx context.Context, t *trial) error {
	if err := t.startLoad(ctx); err != nil {
		return err
	}
	var ids []string
	for _, c := range []struct {
		fault   registry.Fault
		service string
	}{
		{registry.Fault{ReadOnly: true}, "payment"}, {registry.Fault{NoPosts: true}, "order"},
	} {
		mend, err := t.breakRegistry(ctx, c.fault)
		if err != nil {
			return err
		}
		if err := t.restart(ctx, c.service, nil); err != nil {
			return err
		}
		own, err := t.placeOwn(ctx, load.Order{}, delivered)
		if err != nil {
			return err
		}
		if err := t.reach(ctx, own, delivered); err != nil {
			return err
		}
		ids = append(ids, own...)
		if err := mend(ctx); err != nil {
			return err
		}
	}
	t.over(ctx)
	t.see("%d orders delivered meanwhile", len(ids))
	if err := t.money(ctx, ids, 1, 0); err != nil {
		return err
	}
	return t.noLetters(ctx)
}

func registryHangs(ctx context.Context, t *trial) error {
	if err := t.startLoad(ctx); err != nil {
		return err
	}
	mend, err := t.breakRegistry(ctx, registry.Fault{Hangs: true})
	if err != nil {
		return err
	}
	const cold = "projection"
	err = t.restart(ctx, cold, func(ctx context.Context) error {
		if err := t.unready(ctx, "schema", cold); err != nil {
			return err
		}
		began := time.Now()
		ids, err := t.placeOwn(ctx, load.Order{}, delivered)
		if err != nil {
			return err
		}
		if err := t.reach(ctx, ids, delivered); err != nil {
			return err
		}
		t.see("orders placed and delivered meanwhile within %.1f s", time.Since(began).Seconds())
		if err := mend(ctx); err != nil {
			return err
		}
		t.over(ctx)
		return nil
	})
	if err != nil {
		return err
	}
	t.see("%s ready %.1f s after the registry answers", cold, time.Since(t.healed).Seconds())
	return t.noLetters(ctx)
}

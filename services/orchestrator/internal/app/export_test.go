package app

import "context"

// Count updates the gauges, as the worker does.
func (a *App) Count(ctx context.Context) { a.count(ctx) }

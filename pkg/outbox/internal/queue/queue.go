// Package queue has what several packages of the outbox need to read the table outbox_queue: the
// settings under which a query uses its index, the moment up to which its rows are complete (see
// package sequence), and its figures. Its functions fail when the database does; the caller tries
// again.
package queue

// InOrder makes the statements after it in its transaction read the queue by its index. A plan is
// kept for long, and was often made while the queue or a day of the outbox was empty. Then a scan
// of the whole table, or a sort, looks cheap, and it is ruinous when the table has millions of
// rows. A plan whose alternatives are forbidden looks expensive, and would be compiled.
const InOrder = `SELECT set_config('enable_seqscan', 'off', true), set_config('enable_bitmapscan', 'off', true),
	set_config('enable_sort', 'off', true), set_config('enable_hashjoin', 'off', true), set_config('enable_mergejoin', 'off', true),
	set_config('jit', 'off', true), set_config('plan_cache_mode', 'force_generic_plan', true)`

// InOrderAsync is [InOrder], and the commit does not wait for the disk.
const InOrderAsync = InOrder + `, set_config('synchronous_commit', 'off', true)`

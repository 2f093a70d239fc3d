package main

// emitFetch asks for memory that the caller will read later, as amd64's does.
func emitFetch(a *asm) {
	const line = 64
	a.function("fetchLines", "asks for n stretches of memory and waits for none: each is an address and a number of lines, at least one.", "list *byte", "n int")
	list, n, at, lines := a.param("list"), a.param("n"), a.gp(), a.gp()
	a.loop("stretch", n, func() {
		a.ins("LDP.P", mem(list, 16), "("+at.String()+", "+lines.String()+")")
		a.loop("line", lines, func() {
			a.prefetch(at)
			a.add(line, at, at)
		})
	})
	a.ret()
}

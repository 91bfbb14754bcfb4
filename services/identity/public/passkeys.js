/** Passkeys on the pages that have them. What it shows is only what the server said. */
;(() => {
  const { browserSupportsWebAuthn, startAuthentication, startRegistration } = globalThis.SimpleWebAuthnBrowser
  if (!browserSupportsWebAuthn()) return

  class Refusal extends Error {}

  offer(document.getElementById('passkey-add'), async (form) => {
    const name = new FormData(form).get('name')
    const optionsJSON = await post('/security/passkeys/options', { name })
    const added = await post('/security/passkeys', { response: await startRegistration({ optionsJSON }) })
    if (added.codes === null) return location.assign(added.location)
    form.hidden = true
    showCodes(added.codes)
  })

  offer(document.getElementById('passkey'), async (form) => {
    const onward = { continue: form.dataset.continue }
    const optionsJSON = await post('/step-up/passkey/options', {})
    const answer = await post('/step-up/passkey', { ...onward, response: await startAuthentication({ optionsJSON }) })
    location.assign(answer.location)
  })

  /** Shows a form that only a script can send; one sending at a time. */
  function offer(form, act) {
    if (form === null) return
    const button = form.querySelector('button')
    const status = form.querySelector('.status')
    form.previousElementSibling.hidden = true
    form.hidden = false
    form.addEventListener('submit', async (event) => {
      event.preventDefault()
      button.disabled = true
      status.textContent = 'Waiting for your passkey…'
      try {
        await act(form)
      } catch (error) {
        status.textContent = error instanceof Refusal ? error.message : 'No passkey was used. Try again.'
        button.disabled = false
        button.focus()
      }
    })
  }

  async function post(path, body) {
    const answer = await fetch(path, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
    })
    const read = await answer.json()
    if (!answer.ok) throw new Refusal(read.title)
    return read
  }

  function showCodes(codes) {
    const place = document.getElementById('passkey-codes')
    for (const text of codes) {
      const code = document.createElement('code')
      code.textContent = text
      place.querySelector('ol').appendChild(document.createElement('li')).append(code)
    }
    place.hidden = false
    place.querySelector('p').focus()
  }
})()

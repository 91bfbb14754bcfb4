/** Passkeys on the pages that have them. What it shows is only what the server would say without it. */
;(() => {
  const { browserSupportsWebAuthn, startAuthentication, startRegistration } = globalThis.SimpleWebAuthnBrowser
  const status = document.getElementById('passkey-status')
  const adding = document.getElementById('passkey-add')
  const showing = document.getElementById('passkey')
  if (!browserSupportsWebAuthn()) return

  if (adding !== null) {
    adding.hidden = false
    adding.addEventListener('submit', (event) => {
      event.preventDefault()
      const name = new FormData(adding).get('name')
      run(adding, async () => {
        const optionsJSON = await post('/security/passkeys/options', { name })
        return post('/security/passkeys', { response: await startRegistration({ optionsJSON }) })
      })
    })
  }

  if (showing !== null) {
    showing.hidden = false
    showing.querySelector('button').addEventListener('click', () => {
      const onward = { continue: showing.dataset.continue }
      run(showing, async () => {
        const optionsJSON = await post('/step-up/passkey/options', onward)
        return post('/step-up/passkey', { ...onward, response: await startAuthentication({ optionsJSON }) })
      })
    })
  }

  /** One at a time; then on to where the server says. */
  async function run(place, act) {
    const button = place.querySelector('button')
    button.disabled = true
    status.textContent = 'Waiting for your passkey…'
    try {
      location.assign((await act()).location)
    } catch (error) {
      status.textContent = error instanceof Refusal ? error.message : 'Nothing was shown. Try again.'
      button.disabled = false
      button.focus()
    }
  }

  async function post(path, body) {
    const answer = await fetch(path, {
      method: 'POST',
      headers: { 'content-type': 'application/json', accept: 'application/json' },
      body: JSON.stringify(body),
    })
    const read = await answer.json()
    if (!answer.ok) throw new Refusal(read.title)
    return read
  }

  class Refusal extends Error {}
})()

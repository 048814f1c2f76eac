// An EPR in Node.js by the socket: sends a message, takes what comes until its outcome, and
// answers questions. It goes on where the gateway is gone for a while.
//
//     node examples/epr_by_socket.mjs run/trust.sock referral.json received
//
// Settings of the provider: notices = "socket", questions = "socket". Node's own library is enough.
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { request } from 'node:http'
import { extname, join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'

const [socketPath, message, received] = process.argv.slice(2)
const nobodyKnows = [408, 500, 503]

// Resolves once the whole answer is here; one that breaks off is none.
function ask(method, path, body, type = 'application/json') {
  return new Promise((resolve, reject) => {
    const headers = body ? { 'Content-Type': type } : {}
    const asking = request({ socketPath, method, path, headers }, (answer) => {
      const parts = []
      answer.on('data', (part) => parts.push(part)).on('error', reject)
      answer.on('end', () => resolve({ status: answer.statusCode, body: Buffer.concat(parts) }))
    })
    asking.on('error', reject).end(body)
  })
}

// Asks until there is an answer; an error's body says what is wrong, and the cure.
async function asked(...what) {
  for (;;) {
    const answer = await ask(...what).catch((e) => console.error(e.message) ?? { status: 503 })
    if (answer.status < 400) return answer.body
    if (!nobodyKnows.includes(answer.status)) throw new Error(answer.body)
    await pause(1000)
  }
}

async function answerQuestions() {
  for (let after = 0; ; ) {
    const { questions } = JSON.parse(await asked('GET', `/questions?wait=30&after=${after}`))
    for (const { question_id, media_type } of questions) {
      const at = `/questions/${(after = question_id)}`
      if (media_type) await ask('GET', `${at}/request`).catch(console.error) // a yes keeps this
      const decision = { refuse: 'not-supported' } // here a real EPR looks into its diary
      await ask('POST', `${at}/answer`, JSON.stringify(decision)).catch(console.error) // in 4.5 s
    }
  }
}

async function take({ notice_id, kind, means, answer_media_type }) {
  const parts = ['message', 'amended'].includes(kind) ? ['message'] : []
  if (answer_media_type) parts.push('answer')
  for (const part of parts) { // on disk first, collected second
    const body = await asked('GET', `/notices/${notice_id}/${part}`)
    await writeFile(join(received, `${notice_id}.${part}`), body, { flush: true })
  }
  console.log(`${kind}: ${means}`) // people are shown what it means
  await asked('POST', `/notices/${notice_id}/collected`)
}

const { tells } = JSON.parse(await asked('GET', '/contract'))
if (tells !== 'socket') throw new Error('set notices = "socket": they come by folder')
await mkdir(received, { recursive: true })
answerQuestions()
const type = `application/fhir+${extname(message).slice(1)}`
const mine = JSON.parse(await asked('POST', '/messages', await readFile(message), type)).request_id
for (;;) { // a real EPR never ends
  const { notices } = JSON.parse(await asked('GET', '/notices?wait=30'))
  for (const notice of notices) {
    await take(notice)
    if (notice.kind === 'outcome' && notice.request_id === mine) process.exit()
  }
}

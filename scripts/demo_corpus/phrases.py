"""Openings, endings and details, one variant a line."""

# G = says nothing about a certain day; the plot then begins with "One day".
OPEN_GENERIC = """
[Once upon a time,|Once upon a time,|Once upon a time,|Once upon a time] there was {a.full} named {a}. {a.He} lived {home}.
[Once upon a time,|Once upon a time,|Once upon a time,|Once upon a time] there was {a.full} [named|called] {a} who lived {home}.
Once upon a time, {home}, there lived {a.full} named {a}.
Once upon a time, {a.full} named {a} lived {home}. {a.He} loved to {hobby}.
Once there was {a.full} named {a} who loved to {hobby}.
There once was {a.full} named {a}. {a.He} lived {home}, and {a.he} loved to {hobby}.
Long ago, {home}, there lived {a.full} named {a}.
Long, long ago, there was {a.full} named {a}.
{home}, there lived {a.full} named {a}. {a.He} loved to {hobby}.
{home} lived {a.full} named {a}.
{home}, there was {a.full} called {a}. [Everyone|Everybody] [knew|liked] {a.him}.
{a} was {a.full} who lived {home}.
{a} was {a.full} who loved to {hobby}.
{a} was {a.full}. {a.He} lived {home}, and {a.he} was always [busy|cheerful|kind to others|full of ideas].
{a} the {a.kind} lived {home}. {a.He} liked to {hobby} and to {hobby2}.
{a} lived {home}. Every [day|morning], {a.he} liked to {hobby}.
Every morning, {a} the {a.kind} [woke up early|looked out of the window|greeted the sun] and [smiled|sang a song|stretched].
The {a.adj} {a.kind} lived {home}. {a.His} name was {a}.
Far away, {home}, there lived {a.full}. {a.His} name was {a}, and {a.he} loved to {hobby}.
This is the story of {a}, {a.full} who lived {home}.
Nobody {home2} was quite like {a}, the {a.adj} {a.kind}.
Everyone knew {a}, the {a.adj} {a.kind} who loved to {hobby}.
There was once {a.full}, and {a.his} name was {a}.
There was {a.full} in the [land|north|south] who was called {a}.
If you had come {home2v}, you would have met {a}, {a.full} who loved to {hobby}.
Some people like to {hobby2}. But {a}, {a.full}, liked to {hobby}.
Somewhere [in the world|far from here], {home}, there lived {a.full} named {a}.
Not far from here, {home}, there lived {a.full} named {a}.
Many years ago, {a.full} named {a} lived {home}.
Have you ever heard of {a}? {a.He} was {a.full} who lived {home}.
"""
OPEN_UNNAMED = """
{a} lived {home}. {a.He} loved to {hobby}.
{a} lived all alone {home}.
[Once upon a time,|Once upon a time] {a.full} lived {home}.
[Once upon a time,|Once upon a time,|Once upon a time,|Once upon a time] there was {a.full} who loved to {hobby}.
There once was {a.full} who lived {home}.
{home}, there lived {a.full}. {a.He} loved to {hobby}.
{a} was known [all over the land|by everyone] because {a.he} loved to {hobby}.
{a} had lived {home} for [many years|as long as anyone could remember].
{a} liked to {hobby}, but most of all {a.he} liked to {hobby2}.
{a} was [busy|happy|lonely]. {a.He} lived {home}.
{a} had a [small|cozy|quiet] home. It was {home}.
{a} was not like the others. {a.He} loved to {hobby}.
Somewhere [in the world|far from here], {home}, there lived {a.full}.
Not far from here, {home}, there lived {a.full}.
Many years ago, there was {a.full} who lived {home}.
Long ago, {a.full} lived {home} and loved to {hobby}.
"""
# Children with a pet that the plot does not need.
OPEN_PET = """
{a} and {a.his} [dog|cat] lived {home}. They did everything together.
{a} and {a.his} [dog|cat] lived {home}. They liked to {hobby}.
[Once upon a time,|Once upon a time] {a} and {a.his} [dog|cat] lived {home}.
"""
OPEN_FRIENDS = """
{a} and {b} were best friends. They liked to {hobby} together.
Once upon a time, there were two friends named {a} and {b}. They lived {home}.
{a} and {b} lived {home}. They did everything together.
{home} lived two good friends, {a} and {b}.
{a} was {a.full}, and {b} was {b.full}. They were the best of friends.
"""
OPEN_DAY = """
One {wx} {tod}, {a} {woke}.
One {wx} {tod}, {a} the {a.kind} {woke}. {wxline}
One {wx} {tod} in {season}, {a} {woke}.
It was a {wx} {tod} in {season}. {wxline} {a}, {a.full}, {woke}.
It was a {wx} {tod}. {wxline} {a} {woke}.
It was a {wx} {tod}, and {a} the {a.kind} had nothing to do.
On a {wx} {tod} in {season}, {a} the {a.kind} {woke}.
{wxline} {a} the {a.kind} {woke}.
{wxline} It was a {wx} {tod}, and {a} was [already awake|in a good mood|ready for anything].
On the [first|last] day of {season}, {a} {woke}.
Last {season}, something [happened|special happened] to {a}, {a.full} who lived {home}. It was a {wx} {tod}.
"What a {wx} {tod}!" said {a} the {a.kind}. {a.He} {woke}.
{a} the {a.kind} {woke}. {wxline}
{a} the {a.kind} {woke}. It was a {wx} {tod}.
When {a} the {a.kind} {woke}, it was a {wx} {tod} in {season}.
It had been a long {season}. One {wx} {tod}, {a} the {a.kind} {woke}.
{a} sat [in front of {a.his} home|by the window|under a tree] and {dozed}. It was a {wx} {tod}.
"""
OPEN_DAY_UNNAMED = """
One {wx} {tod}, {a} {woke}.
It was a {wx} {tod} in {season}. {wxline} {a} {woke}.
{wxline} {a} {woke}.
{a} {woke} on a {wx} {tod} in {season}.
{a} {woke}. It was a {wx} {tod}.
{a} {woke}. {wxline}
{a} sat [in front of {a.his} home|by the window|under a tree] and {dozed}. It was a {wx} {tod}.
On the [first|last] day of {season}, {a} {woke}.
When {a} {woke}, it was a {wx} {tod}.
"""
WOKE = [
    "woke up [early|with a smile|and stretched]", "looked out of the window", "went outside", "opened the door and looked around",
    "sat down to think", "had a good idea", "could not sit still", "was ready for an adventure", "ate a quick breakfast",
    "hummed a little song", "put on {a.his} [coat|boots|hat]",
]
WOKE_ANIMAL = [
    "woke up [early|with a smile|and stretched]", "looked up at the sky", "went outside", "came out and looked around",
    "sat down to think", "had a good idea", "could not sit still", "was ready for an adventure", "ate a quick breakfast",
    "hummed a little song", "went for a walk",
]

DETAIL = """
{a.He} had [bright|big|kind|dark|green] eyes and a [loud|warm|soft] laugh.
{a.He} was not very big, but {a.he} had a big heart.
{a.He} always carried a {color} bag.
{a.He} wore a {color} [hat|scarf] every day, [even in summer|even in bed|and it was much too big].
Everyone liked {a.him} because {a.he} was so [kind|funny|helpful|honest].
{a.He} had many dreams, but {a.he} told nobody about them.
Most days were quiet, and {a.he} liked it that way.
{a.He} did not have much, but {a.he} was happy.
{a.He} had a lot of time and a lot of ideas.
{a.He} asked a hundred questions every day.
Sometimes {a.he} felt a little lonely.
{a.He} was never bored.
There was always something new to see.
{a.He} knew every path and every tree.
{a.His} favorite color was {color}.
{a.His} favorite time of the year was {season2}.
{a.He} liked {taste} more than anything.
{a.He} could not sit still for a minute.
{a.He} was afraid of nothing, or almost nothing.
{a.His} home was small, but it was always full of [laughter|light|music|friends].
"""
END_DAY = """
That night, {a} fell asleep with a smile.
That night, {a} slept [very well|better than ever].
When the sun went down, {a} was [tired but happy|still smiling].
In the evening, {a} [told {g} all about it|sat by the fire and smiled|thought about the day and smiled].
The sun went down, and the stars came out one by one. It had been a [good|wonderful|fine] day.
It was a day that {a} would always remember.
{a} went to bed early that night and dreamed of [the sea|the stars|tomorrow|cake].
And if you listen well, you can still hear {a} laugh.
What a day it had been!
{a} smiled all the way home.
"Today was a good day," said {a}.
"What will tomorrow bring?" {a} wondered.
The moon came up, and everything was well.
At home, {a} drew a picture of it and put it on the wall.
{a} [never forgot|always remembered] that day.
And {a} was very, very happy.
{a} could not wait for tomorrow.
"""
